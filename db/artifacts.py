"""ArtifactStore: which files were stored, by the SHA-256 of their bytes. Rows only; bytes live elsewhere."""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.backend.checks import check_digest, check_integer, check_text
from db.backend.upsert import insert_new
from db.errors import ArtifactExistsError, ArtifactNotFoundError
from db.records import ArtifactRecord
from db.schema.convert import artifact_of
from db.schema.registry_rows import ArtifactRow
from db.session import Transactions


class ArtifactStore:
    """Records of stored files. Write the row last: a crash then leaves only a file to collect."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    def put(self, record: ArtifactRecord) -> None:
        """Store a record; the same file of the same job under the same name changes nothing.

        Raises ArtifactExistsError when the digest is stored with another size, InvalidRecordError for
        a digest that is no SHA-256 or a field that cannot be stored.
        """
        check_digest("sha256", record.sha256)
        check_integer("size", record.size)
        check_text("name", record.name)
        check_text("media_type", record.media_type)
        columns = {**asdict(record), "job_id": record.job_id or ""}

        def work(session: Session) -> None:
            sizes = session.scalars(select(ArtifactRow.size).where(ArtifactRow.sha256 == record.sha256)).all()
            if any(size != record.size for size in sizes):
                raise ArtifactExistsError(
                    f"artifact {record.sha256} has {sizes[0]} bytes; got a record of {record.size}"
                )
            insert_new(session, ArtifactRow, columns)

        self._database.run_write(work)

    def get(self, sha256: str) -> ArtifactRecord:
        """The oldest record of the digest; raises ArtifactNotFoundError."""
        check = select(ArtifactRow).where(ArtifactRow.sha256 == sha256)
        with self._database.read() as session:
            row = session.scalar(
                check.order_by(ArtifactRow.created_at, ArtifactRow.job_id, ArtifactRow.name).limit(1)
            )
            if row is None:
                raise ArtifactNotFoundError(f"no artifact {sha256!r}")
            return artifact_of(row)

    def list_for_job(self, job_id: str) -> list[ArtifactRecord]:
        """The files that a job made, by name; [] for an unknown job."""
        statement = select(ArtifactRow).where(ArtifactRow.job_id == job_id).order_by(ArtifactRow.name)
        with self._database.read() as session:
            return [artifact_of(row) for row in session.scalars(statement)]
