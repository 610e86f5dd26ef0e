"""SupernetStore: trained supernets by name."""

from __future__ import annotations

from dataclasses import asdict, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.backend.checks import check_integer, check_json, check_name, check_text
from db.backend.cursor import Keyset
from db.backend.upsert import insert_new
from db.errors import SupernetExistsError, SupernetNotFoundError
from db.records import Page, SupernetRecord
from db.schema.convert import supernet_of
from db.schema.registry_rows import SupernetRow
from db.session import Transactions

BY_NAME = Keyset("supernets", (SupernetRow.name,))
MAX_INT32 = 2**31 - 1


class SupernetStore:
    """Trained supernets; a name, once given, stays with its weights."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    def put(self, record: SupernetRecord) -> None:
        """Store a supernet. Its digest, space and folder stored again under the name change nothing.

        Raises SupernetExistsError when the name belongs to another supernet, and InvalidRecordError
        for a name that may not be part of a URL or a field that cannot be stored.
        """
        check_name("supernet", record.name)
        for field in ("space", "data", "folder", "digest"):
            check_text(field, getattr(record, field))
        for field in ("n_classes", "in_channels", "resolution"):
            check_integer(field, getattr(record, field), 1, MAX_INT32)
        columns = asdict(replace(record, metrics=check_json("metrics", record.metrics)))

        def work(session: Session) -> None:
            if insert_new(session, SupernetRow, columns):
                return
            there = supernet_of(session.get_one(SupernetRow, record.name))
            same = (there.digest, there.space, there.folder) == (record.digest, record.space, record.folder)
            if not same:
                raise SupernetExistsError(f"a supernet {record.name!r} with other weights exists")

        self._database.run_write(work)

    def get(self, name: str) -> SupernetRecord:
        """Raises SupernetNotFoundError."""
        with self._database.read() as session:
            row = session.get(SupernetRow, name)
            if row is None:
                raise SupernetNotFoundError(f"no supernet {name!r}")
            return supernet_of(row)

    def list(self, *, limit: int = 50, cursor: str | None = None) -> Page[SupernetRecord]:
        """Supernets by name. Raises InvalidCursorError and InvalidRecordError (limit)."""
        with self._database.read() as session:
            return BY_NAME.page(
                session, select(SupernetRow), supernet_of, limit=limit, cursor=cursor, filters={}
            )
