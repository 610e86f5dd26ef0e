"""JSON bodies parsed so that nothing odd gets in: no NaN or infinity, no deep nesting, no key twice."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeAlias

import orjson
from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

MAX_DEPTH = 32
Path: TypeAlias = tuple[str | int, ...]


class BodyError(HTTPException):
    """A body that is no acceptable JSON; ``path`` leads to the value at fault."""

    def __init__(self, detail: str, path: Path = ()) -> None:
        super().__init__(422, detail)
        self.path = path


def parse_json(body: bytes) -> Any:
    """The value of a JSON text.

    Raises BodyError for what RFC 8259 does not allow (NaN, Infinity), for numbers out of a
    double's range (1e999), more than MAX_DEPTH levels and duplicate keys.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _not_finite(body) or BodyError(f"not valid JSON: {error.msg}") from None
    for depth, _ in enumerate(_levels(value)):
        if depth > MAX_DEPTH:
            raise BodyError(f"nested deeper than {MAX_DEPTH} levels")
    json.loads(body, object_pairs_hook=_unique)
    return value


def _not_finite(body: bytes) -> BodyError | None:
    """Where a text that only Python's lenient parser takes holds a number that is none."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    for level in _levels(value):
        for path, item in level:
            if isinstance(item, float) and not math.isfinite(item):
                return BodyError("is not a finite number", path)
    return None


def _levels(value: Any) -> Iterator[list[tuple[Path, Any]]]:
    """The values of a document with their paths, level by level, the document itself first."""
    level: list[tuple[Path, Any]] = [((), value)]
    while level:
        yield level
        level = [((*path, key), child) for path, item in level for key, child in _children(item)]


def _children(value: Any) -> list[tuple[str | int, Any]]:
    if isinstance(value, dict):
        return list(value.items())
    return list(enumerate(value)) if isinstance(value, list) else []


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise BodyError("an object names this key twice", (name,))
        found[name] = value
    return found


class StrictRequest(Request):
    """A request whose JSON body goes through ``parse_json``."""

    async def json(self) -> Any:
        """The parsed body; raises BodyError."""
        return parse_json(await self.body())


class StrictRoute(APIRoute):
    """A route that reads its body through StrictRequest."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, given a StrictRequest."""
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handler(StrictRequest(request.scope, request.receive))

        return strict
