"""make_engine: a SQLAlchemy engine with the settings that our guarantees rest on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from db.backend.checks import from_json, to_json
from db.backend.writer_lock import WriterLock
from db.errors import DatabaseUrlError

POOL = {"pool_size": 10, "max_overflow": 40}
WRITE = "nas_write"  # execution option of a connection whose next transaction writes


def parse_url(text: str) -> URL:
    """The URL of a SQLite file or a PostgreSQL database; DatabaseUrlError for anything else."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        raise DatabaseUrlError(
            "the database URL must look like sqlite:///FILE or postgresql+psycopg://…"
        ) from error
    if url.drivername in ("postgresql", "postgresql+psycopg"):
        return url.set(drivername="postgresql+psycopg")
    if url.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise DatabaseUrlError(f"databases are sqlite and postgresql+psycopg; got {url.drivername!r}")
    if not url.database or url.database == ":memory:" or url.query:
        raise DatabaseUrlError("SQLite needs a file (sqlite:///FILE): several processes share it")
    return url


def sqlite_path(url: URL) -> Path:
    """The file of a SQLite URL."""
    return Path(url.database or "")


def sqlite_file(text: str) -> Path | None:
    """The file of a database URL with links resolved, None for PostgreSQL; DatabaseUrlError as above."""
    url = parse_url(text)
    return sqlite_path(url).resolve() if url.get_backend_name() == "sqlite" else None


def make_engine(url: URL, *, busy_timeout_s: float) -> tuple[Engine, WriterLock | None]:
    """The engine, and for SQLite the lock that its writers hold."""
    if url.get_backend_name() == "sqlite":
        return _sqlite_engine(url, busy_timeout_s)
    milliseconds = round(busy_timeout_s * 1000)
    options = f"-c lock_timeout={milliseconds} -c idle_in_transaction_session_timeout=60000"
    try:
        engine = create_engine(
            url,
            connect_args={"connect_timeout": 5, "options": options},
            pool_pre_ping=True,
            json_serializer=to_json,
            json_deserializer=from_json,
            **POOL,
        )
    except ImportError as error:
        raise DatabaseUrlError("PostgreSQL needs a driver: pip install 'stitchnas[postgres]'") from error
    return engine, None


def _sqlite_engine(url: URL, busy_timeout_s: float) -> tuple[Engine, WriterLock]:
    lock = WriterLock(sqlite_path(url).with_name(sqlite_path(url).name + "-writer"), timeout_s=busy_timeout_s)
    engine = create_engine(
        url,
        connect_args={"timeout": busy_timeout_s},
        json_serializer=to_json,
        json_deserializer=from_json,
        **POOL,
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: object) -> None:  # noqa: ARG001
        connection.isolation_level = None  # the driver begins nothing by itself; "begin" below does
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA synchronous=FULL")
        if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            with lock.hold():
                connection.execute("PRAGMA journal_mode=WAL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # a read transaction that turns into a write fails at once (BUSY_SNAPSHOT): say so from the start
        write = connection.get_execution_options().get(WRITE, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine, lock
