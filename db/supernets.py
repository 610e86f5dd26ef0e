"""SupernetStore: trained supernets by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from db.backend.checks import check_integer, check_json, check_name, check_text
from db.backend.cursor import Keyset
from db.backend.upsert import insert_new
from db.errors import SupernetExistsError, SupernetNotFoundError
from db.records import FidelityRecord, Page, SupernetRecord
from db.schema.convert import fidelity_of, supernet_of
from db.schema.registry_rows import FidelityRow, SupernetRow
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

    def put_fidelity(self, record: FidelityRecord) -> None:
        """Store what a supernet's ranking is worth; a newer report replaces the one before.

        Raises SupernetNotFoundError, and InvalidRecordError for a report that cannot be stored.
        """
        report = check_json("report", record.report.to_dict())

        def work(session: Session) -> None:
            if session.get(SupernetRow, record.supernet) is None:
                raise SupernetNotFoundError(f"no supernet {record.supernet!r}")
            session.execute(delete(FidelityRow).where(FidelityRow.supernet == record.supernet))
            columns = {"job_id": record.job_id, "created_at": record.created_at}
            session.add(FidelityRow(supernet=record.supernet, report=report, **columns))

        self._database.run_write(work)

    def fidelity(self, names: Iterable[str]) -> Mapping[str, FidelityRecord]:
        """The newest report of each of these supernets that has one, by name."""
        with self._database.read() as session:
            statement = select(FidelityRow).where(FidelityRow.supernet.in_(sorted(set(names))))
            return {row.supernet: fidelity_of(row) for row in session.scalars(statement)}
