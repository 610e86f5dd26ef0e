"""Database: connections, transactions, retries, fencing and migrations of one database."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol, TypeVar

from sqlalchemy import select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from db.backend.engine import WRITE, make_engine, parse_url, sqlite_path
from db.backend.faults import as_nas_error
from db.backend.migrate import current_revision, head_revision, upgrade
from db.errors import DatabaseBusyError, DatabaseSchemaError, DatabaseUnavailableError, LeaseLostError
from db.schema.job_rows import JobRow
from db.schema.transitions import HELD

T = TypeVar("T")
ATTEMPTS = 5
LONGEST_BACKOFF_S = 0.2


class Transactions(Protocol):
    """What a store needs of a database."""

    def read(self) -> AbstractContextManager[Session]:
        """A session that sees one consistent state."""
        ...

    def run_write(self, work: Callable[[Session], T]) -> T:
        """Run ``work`` in a write transaction and commit; all of it again when the database was busy."""
        ...


class Database:
    """A SQLite file (``sqlite:///FILE``) or a PostgreSQL database (``postgresql+psycopg://…``).

    Safe to share among threads; every process opens its own. Nothing is opened before first use.
    Raises DatabaseBusyError when others hold the database for longer than ``busy_timeout_s``, and
    DatabaseUnavailableError when it is gone, full or read-only; nothing is stored in either case.
    """

    def __init__(self, url: str, *, busy_timeout_s: float = 5.0) -> None:
        self._url = parse_url(url)
        self._busy_timeout_s = busy_timeout_s
        self._engine, self._lock = make_engine(self._url, busy_timeout_s=busy_timeout_s)

    @property
    def backend(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self._url.get_backend_name()

    def __repr__(self) -> str:
        return f"Database({self._url.render_as_string(hide_password=True)!r})"

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session over one consistent snapshot; whatever it changes is rolled back."""
        options = {} if self.backend == "sqlite" else {"isolation_level": "REPEATABLE READ"}
        with _translated(), self._engine.connect().execution_options(**options) as connection:
            with Session(connection) as session:
                yield session
            connection.rollback()

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A write transaction: committed at the end of the block, rolled back by an exception.

        On SQLite it begins IMMEDIATE, so no other writer comes between its reads and its writes.
        The block cannot be run again for you: prefer ``run_write``.
        """
        lock = nullcontext() if self._lock is None else self._lock.hold()
        with (
            _translated(),
            self._engine.connect().execution_options(**{WRITE: True}) as connection,
            lock,
            connection.begin(),
            Session(connection) as session,  # joins the connection's transaction
        ):
            yield session
            session.flush()

    def run_write(self, work: Callable[[Session], T]) -> T:
        """See Transactions. ``work`` must have no effect but through its session.

        Only failures after which the database has rolled back for certain are tried again.
        """
        deadline = time.monotonic() + self._busy_timeout_s
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with self.write() as session:
                    return work(session)
            except DatabaseBusyError:
                if attempt == ATTEMPTS or time.monotonic() >= deadline:
                    raise
            time.sleep(random.uniform(0.0, LONGEST_BACKOFF_S * attempt / ATTEMPTS))
        raise AssertionError("the last attempt returns or raises")

    def fenced(self, job_id: str, epoch: int) -> FencedDatabase:
        """The same database for the runner that holds this job: see FencedDatabase."""
        return FencedDatabase(self, job_id, epoch)

    def migrate(self) -> None:
        """Bring the schema to this version, creating it (and SQLite's folder) where it is missing.

        Safe to run from several processes at once. Raises DatabaseSchemaError when the database
        belongs to a newer version.
        """
        if self.backend == "sqlite":
            folder = sqlite_path(self._url).parent
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise DatabaseUnavailableError(f"cannot create {folder}: {error.strerror}") from error
        with self.write() as session:
            upgrade(session.connection())

    def check(self) -> None:
        """Raise DatabaseSchemaError or DatabaseUnavailableError unless it answers and is migrated."""
        with self.read() as session:
            found = current_revision(session.connection())
        if found != head_revision():
            raise DatabaseSchemaError(
                f"the database is at revision {found}, this version needs {head_revision()}"
            )

    def verify(self) -> None:
        """``check``, and on SQLite also that no page is damaged and no reference dangles: reads it all."""
        self.check()
        if self.backend != "sqlite":
            return
        with self.read() as session:
            damage = session.execute(text("PRAGMA quick_check")).scalars().all()
            dangling = session.execute(text("PRAGMA foreign_key_check")).all()
        if damage != ["ok"] or dangling:
            raise DatabaseSchemaError(f"the database is damaged: {[*damage[:3], *dangling[:3]]}")

    def close(self) -> None:
        """Close all connections; the database may be used again afterwards."""
        self._engine.dispose()


class FencedDatabase:
    """Transactions of a runner: every write first proves that the runner still holds its job.

    A stale epoch raises LeaseLostError and nothing is stored. On PostgreSQL the job's row stays
    share-locked until the commit, so that nobody claims the job in between.
    """

    def __init__(self, database: Database, job_id: str, epoch: int) -> None:
        self._database, self._job_id, self._epoch = database, job_id, epoch

    def read(self) -> AbstractContextManager[Session]:
        """See Transactions."""
        return self._database.read()

    def run_write(self, work: Callable[[Session], T]) -> T:
        """See Transactions."""

        def guarded(session: Session) -> T:
            held = select(JobRow.id).where(
                JobRow.id == self._job_id, JobRow.epoch == self._epoch, JobRow.state.in_(HELD)
            )
            if session.scalar(held.with_for_update(read=True)) is None:
                raise LeaseLostError(f"epoch {self._epoch} no longer holds job {self._job_id}")
            return work(session)

        return self._database.run_write(guarded)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        translated = as_nas_error(error)
        if translated is None:
            raise
        raise translated from error
