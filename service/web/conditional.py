"""Answers with a strong ETag: 304 when the client has them already."""

from __future__ import annotations

import hashlib

from fastapi import Request, Response


def conditional(request: Request, body: bytes, media_type: str, *, vary: str | None = None) -> Response:
    """``body`` with its ETag, or 304 if If-None-Match names it (RFC 9110, 13.1.2)."""
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if vary is not None:
        headers["Vary"] = vary
    if matches(request.headers.get("if-none-match"), tag):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=media_type)


def matches(header: str | None, tag: str) -> bool:
    """Whether an If-None-Match header names this tag; the comparison is weak, as it is for GET."""
    if header is None:
        return False
    names = [name.strip().removeprefix("W/") for name in header.split(",")]
    return "*" in names or tag in names
