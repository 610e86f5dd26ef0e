"""Keyset pages: opaque, validated cursors that keep their place while rows come and go.

A cursor holds the key of the last row handed out, so a page costs the same at any depth, no row
comes twice, and every row present at the first page is seen. It is bound to its list and filters
by a checksum; that catches mistakes, not malice, for which there is nothing to gain: a forged
key only names another place in a list that its reader may see anyway.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import Select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from db.backend.checks import check_limit, to_json
from db.errors import InvalidCursorError
from db.records import Page
from db.schema.base import EPOCH, MICROSECOND, UtcTime

Item = TypeVar("Item")
Key: TypeAlias = str | int | datetime

CHECK_BYTES = 8
MAX_CURSOR = 1000  # characters
MAX_KEY = 2**63


@dataclass(frozen=True, slots=True)
class Keyset:
    """A list's order (columns that together are unique) and what its cursors are bound to."""

    scope: str
    columns: tuple[InstrumentedAttribute[Any], ...]
    descending: bool = False

    def encode(self, key: Sequence[Key], filters: Mapping[str, Any]) -> str:
        """The cursor of the row with this key."""
        plain = [(k - EPOCH) // MICROSECOND if isinstance(k, datetime) else k for k in key]
        body = to_json(plain).encode()
        return base64.urlsafe_b64encode(self._checksum(body, filters) + body).decode().rstrip("=")

    def decode(self, cursor: str, filters: Mapping[str, Any]) -> tuple[Key, ...]:
        """The key of a cursor; InvalidCursorError unless this list with these filters handed it out."""
        refused = InvalidCursorError(f"cursor {cursor[:40]!r} is none of this list with these filters")
        if len(cursor) > MAX_CURSOR:
            raise refused
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            checksum, body = raw[:CHECK_BYTES], raw[CHECK_BYTES:]
            plain = json.loads(body)
        except (ValueError, binascii.Error, RecursionError):
            raise refused from None
        if checksum != self._checksum(body, filters) or not isinstance(plain, list):
            raise refused
        if len(plain) != len(self.columns):
            raise refused
        return tuple(_key(column, value, refused) for column, value in zip(self.columns, plain, strict=True))

    def page(
        self,
        session: Session,
        statement: Select[Any],
        convert: Callable[[Any], Item],
        *,
        limit: int,
        cursor: str | None,
        filters: Mapping[str, Any],
    ) -> Page[Item]:
        """The rows of ``statement`` after the cursor, at most ``limit`` (1..1000) of them, converted."""
        check_limit(limit)
        if cursor is not None:
            place, key = tuple_(*self.columns), self.decode(cursor, filters)
            statement = statement.where(place < key if self.descending else place > key)
        order = [column.desc() if self.descending else column.asc() for column in self.columns]
        rows = session.scalars(statement.order_by(*order).limit(limit + 1)).all()
        items = [convert(row) for row in rows[:limit]]
        if len(rows) <= limit:
            return Page(items, None)
        last = [getattr(rows[limit - 1], column.key) for column in self.columns]
        return Page(items, self.encode(last, filters))

    def _checksum(self, body: bytes, filters: Mapping[str, Any]) -> bytes:
        used = {name: str(value) for name, value in filters.items() if value is not None}
        return hashlib.sha256(to_json([self.scope, used]).encode() + b"\n" + body).digest()[:CHECK_BYTES]


def _key(column: InstrumentedAttribute[Any], value: object, refused: InvalidCursorError) -> Key:
    """A decoded key in the type of its column."""
    if isinstance(column.type, UtcTime):
        if type(value) is not int:
            raise refused
        try:
            return EPOCH + timedelta(microseconds=value)
        except OverflowError:
            raise refused from None
    if type(value) is not column.type.python_type:
        raise refused
    if isinstance(value, int) and -MAX_KEY <= value < MAX_KEY:
        return value
    if isinstance(value, str) and value.isprintable():
        return value
    raise refused
