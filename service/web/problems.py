"""RFC 9457 problem documents for every error that leaves the API."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from searchspaces.errors import NasError
from service.errors import FieldError, InvalidFieldsError, NoFeasiblePointError, status_of
from service.schemas.results import Problem
from service.web.body import BodyError

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 2
RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "What went wrong, as a problem document (RFC 9457)",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
}
_log = logging.getLogger(__name__)


def problem_response(
    request_id: str,
    path: str,
    status: int,
    *,
    slug: str | None = None,
    detail: str = "",
    errors: Sequence[FieldError] = (),
    extra: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A problem document; ``slug`` is the end of its type URN, by default the status' phrase."""
    phrase = HTTPStatus(status).phrase
    slug = slug or re.sub(r"[^a-z]+", "-", phrase.lower()).strip("-")
    document: dict[str, Any] = {
        "type": f"urn:stitchnas:problem:{slug}",
        "title": slug.replace("-", " ").capitalize(),
        "status": status,
        "detail": detail,
        "instance": path,
        "request_id": request_id,
    }
    if errors:
        document["errors"] = [{"pointer": item.pointer, "detail": item.detail} for item in errors]
    document.update(extra or {})
    retry = {"Retry-After": str(RETRY_AFTER_S)} if status in (429, 503) else {}
    return Response(
        orjson.dumps(document), status, headers={**retry, **(headers or {})}, media_type=MEDIA_TYPE
    )


def install(app: FastAPI) -> None:
    """Answer every error of the app with a problem document."""
    app.add_exception_handler(NasError, _nas_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(BodyError, _body_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected)


def add_schema(document: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI document with the schema that RESPONSES refers to."""
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}", mode="serialization")
    components = document.setdefault("components", {}).setdefault("schemas", {})
    for name, definition in schema.pop("$defs", {}).items():
        components.setdefault(name, definition)
    components["Problem"] = schema
    return document


def pointer(location: Sequence[int | str]) -> str:
    """JSON pointer (RFC 6901) as a URI fragment: parts of the body, or of ``query``, ``path``, ``header``."""
    parts = [str(part).replace("~", "~0").replace("/", "~1") for part in location]
    return "#/" + "/".join(parts) if parts else "#"


def slug_of(error: NasError) -> str:
    """``JobNotFoundError`` is ``job-not-found``."""
    name = type(error).__name__.removesuffix("Error")
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()


def request_id_of(request: Request) -> str:
    """The id that the guard gave this request."""
    return str(request.scope.get("state", {}).get("request_id", ""))


def _respond(request: Request, status: int, **members: Any) -> Response:
    return problem_response(request_id_of(request), request.scope["path"], status, **members)


async def _nas_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, NasError)
    status = status_of(error)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("%s: %s", type(error).__name__, error)
    return _respond(
        request,
        status,
        slug=slug_of(error),
        detail=str(error),
        errors=error.fields if isinstance(error, InvalidFieldsError) else (),
        extra=error.extra if isinstance(error, NoFeasiblePointError) else None,
    )


async def _validation_error(request: Request, error: Exception) -> Response:
    """422 that names each field and never repeats its value, which may be what JSON cannot hold."""
    assert isinstance(error, RequestValidationError)
    fields = []
    for item in error.errors():
        location = item["loc"]
        if location and location[0] == "body":
            location = _in_body(location[1:], error.body, is_missing=item["type"] == "missing")
        fields.append(FieldError(pointer(location), item["msg"].removeprefix("Value error, ")))
    return _invalid(request, fields)


def _in_body(location: Sequence[int | str], body: Any, *, is_missing: bool) -> list[int | str]:
    """The location without the names of union members, which are no part of the body."""
    found: list[int | str] = []
    for index, part in enumerate(location):
        children = body if isinstance(body, dict) else dict(enumerate(body)) if isinstance(body, list) else {}
        if part in children:
            body = children[part]
        elif not (is_missing and index == len(location) - 1):
            continue
        found.append(part)
    return found


async def _body_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, BodyError)
    return _invalid(request, [FieldError(pointer(error.path), error.detail)])


def _invalid(request: Request, fields: Sequence[FieldError]) -> Response:
    detail = "; ".join(f"{field.pointer}: {field.detail}" for field in fields[:3])
    return _respond(request, 422, slug="invalid-request", detail=detail, errors=fields)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _respond(request, error.status_code, detail=str(error.detail), headers=error.headers)


async def _unexpected(request: Request, error: Exception) -> Response:
    return _respond(request, 500, detail=f"unexpected {type(error).__name__}; the log has the details")
