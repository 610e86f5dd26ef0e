"""Stored files by digest."""

from __future__ import annotations

import base64
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse

from service.agents.auth import require_reader
from service.deps import DigestPath, StoresDep
from service.web.conditional import matches

router = APIRouter(prefix="/artifacts", tags=["artifacts"], dependencies=[Depends(require_reader)])


@router.get(
    "/{sha256}",
    operation_id="downloadArtifact",
    summary="Download a file",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}},
        304: {"description": "The client's copy is current"},
    },
)
def download(request: Request, stores: StoresDep, sha256: DigestPath) -> Response:
    """The file, after its bytes were checked against the digest. It never changes."""
    record = stores.artifacts.get(sha256)
    headers = {
        "ETag": f'"{sha256}"',
        "Cache-Control": "private, max-age=31536000, immutable",
        "Repr-Digest": f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode()}:",
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(record.name, safe='')}",
    }
    if matches(request.headers.get("if-none-match"), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    headers["Content-Length"] = str(record.size)
    return StreamingResponse(stores.files.read(sha256), headers=headers, media_type=record.media_type)
