"""JSON bodies parsed so that nothing odd gets in: no NaN, no infinity, no deep nesting, no twice-named key."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.routing import APIRoute

MAX_DEPTH = 32


def parse_json(body: bytes) -> Any:
    """The value of a JSON text.

    Raises json.JSONDecodeError for what RFC 8259 does not allow (NaN, Infinity), for numbers
    out of a double's range (1e999), more than MAX_DEPTH levels and duplicate keys.
    """
    value = orjson.loads(body)
    _check_depth(value)
    json.loads(body, object_pairs_hook=_unique)
    return value


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [child for item in level for child in _children(item)]
        if not level:
            return
    raise json.JSONDecodeError(f"nested deeper than {MAX_DEPTH} levels", "", 0)


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise json.JSONDecodeError("an object names a key twice", "", 0)
    return found


class StrictRequest(Request):
    """A request whose JSON body goes through ``parse_json``."""

    async def json(self) -> Any:
        """The parsed body; raises json.JSONDecodeError."""
        return parse_json(await self.body())


class StrictRoute(APIRoute):
    """A route that reads its body through StrictRequest."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, given a StrictRequest."""
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handler(StrictRequest(request.scope, request.receive))

        return strict
