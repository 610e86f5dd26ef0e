"""Transactions: all or nothing, retried when busy, and failures that say what is wrong."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.errors import (
    DatabaseBusyError,
    DatabaseSchemaError,
    DatabaseUnavailableError,
    DatabaseUrlError,
    LeaseLostError,
)
from db.jobs import JobStore
from db.records import JobKind
from db.session import Database
from db.study_store import SqlStudyStore
from tests.contracts.toy import toy_space, toy_study


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nas.db",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///a.db?mode=ro",
        "mysql://host/nas",
        "postgresql+psycopg2://host/nas",
    ],
)
def test_unsupported_urls_are_refused(url: str) -> None:
    with pytest.raises(DatabaseUrlError):
        Database(url)


def test_password_is_never_shown() -> None:
    assert "secret" not in repr(Database("postgresql+psycopg://nas:secret@127.0.0.1:1/nas"))
    with pytest.raises(DatabaseUnavailableError) as raised:
        Database("postgresql+psycopg://nas:secret@127.0.0.1:1/nas").check()
    assert "secret" not in str(raised.value)


def test_exception_rolls_everything_back(database: Database) -> None:
    def work(session: Session) -> None:
        session.execute(text("UPDATE studies SET budget = 99"))
        raise KeyError("a defect")

    SqlStudyStore(database).create_study(toy_study())
    with pytest.raises(KeyError):
        database.run_write(work)
    assert SqlStudyStore(database).get_study("s1") == toy_study()


def test_reading_session_changes_nothing(sqlite_database: Database) -> None:
    SqlStudyStore(sqlite_database).create_study(toy_study())
    with sqlite_database.read() as session:
        session.execute(text("UPDATE studies SET budget = 99"))
    assert SqlStudyStore(sqlite_database).get_study("s1") == toy_study()


def test_busy_transaction_is_run_again_whole(database: Database) -> None:
    runs: list[int] = []

    def work(session: Session) -> int:
        session.execute(text("UPDATE studies SET budget = budget + 1"))
        runs.append(1)
        if len(runs) < 3:
            raise DatabaseBusyError("as if a deadlock was found")
        return len(runs)

    SqlStudyStore(database).create_study(toy_study(budget=20))
    assert database.run_write(work) == 3
    assert SqlStudyStore(database).get_study("s1").budget == 21


def test_foreign_writer_is_waited_for_then_reported(sqlite_database: Database, tmp_path: Path) -> None:
    jobs = JobStore(sqlite_database)
    other = sqlite3.connect(tmp_path / "nas.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseBusyError, match="busy"):
        jobs.submit(JobKind.TRAIN, {})
    assert jobs.list().items == []  # reading goes on
    timer = threading.Timer(0.1, lambda: other.execute("ROLLBACK"))
    timer.start()
    jobs.submit(JobKind.TRAIN, {})
    timer.join()
    other.close()
    assert len(jobs.list().items) == 1


def test_writer_keeps_foreign_writers_out_from_its_start(sqlite_database: Database, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "nas.db", isolation_level=None, timeout=0)) as other:
        with sqlite_database.write(), pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        other.execute("BEGIN IMMEDIATE")


def test_writers_lock_is_waited_for_then_reported(sqlite_database: Database, tmp_path: Path) -> None:
    second = Database(f"sqlite:///{tmp_path / 'nas.db'}", busy_timeout_s=0.05)
    with sqlite_database.write(), pytest.raises(DatabaseBusyError, match="writer"):
        JobStore(second).submit(JobKind.TRAIN, {})
    JobStore(second).submit(JobKind.TRAIN, {})
    second.close()


def test_missing_folder_is_unavailable(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'nowhere' / 'nas.db'}")
    with pytest.raises(DatabaseUnavailableError, match="unable to open"):
        database.check()


def test_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "nas.db").write_bytes(b"not a database" * 1000)
    database = Database(f"sqlite:///{tmp_path / 'nas.db'}")
    with pytest.raises(DatabaseSchemaError, match="not a database"):
        database.migrate()
    assert (tmp_path / "nas.db").read_bytes() == b"not a database" * 1000


def test_full_disk_stores_nothing_and_heals(sqlite_database: Database) -> None:
    jobs = JobStore(sqlite_database)
    with sqlite_database.read() as session:
        pages = session.execute(text("PRAGMA page_count")).scalar_one()
        session.execute(text(f"PRAGMA max_page_count = {pages}"))
    with pytest.raises(DatabaseUnavailableError, match="full"):
        jobs.submit(JobKind.TRAIN, {"text": "x" * 100_000})
    assert jobs.list().items == []
    with sqlite_database.read() as session:
        session.execute(text("PRAGMA max_page_count = 100000"))
    jobs.submit(JobKind.TRAIN, {"text": "x" * 100_000})
    sqlite_database.verify()


def test_sqlite_is_set_up_for_durability(sqlite_database: Database) -> None:
    with sqlite_database.read() as session:
        settings = {
            name: session.execute(text(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_damage_is_found(sqlite_database: Database, tmp_path: Path) -> None:
    raw = sqlite3.connect(tmp_path / "nas.db")
    raw.execute("INSERT INTO trial_values VALUES ('no study', 0, 'top1', 0.5)")
    raw.commit()
    raw.close()
    with pytest.raises(DatabaseSchemaError, match="trial_values"):
        sqlite_database.verify()


def test_stale_runner_stores_nothing(database: Database) -> None:
    jobs = JobStore(database)
    job_id = jobs.submit(JobKind.SEARCH, {}).id
    first = jobs.claim("a", ttl_s=60)
    assert first is not None
    old = SqlStudyStore(database.fenced(job_id, first.epoch))
    old.create_study(toy_study("before"))
    jobs.release(job_id, first.epoch, error="lost")
    with pytest.raises(LeaseLostError):
        old.create_study(toy_study("between"))
    second = jobs.claim("b", ttl_s=60)
    assert second is not None
    with pytest.raises(LeaseLostError):
        old.create_study(toy_study("after"))
    SqlStudyStore(database.fenced(job_id, second.epoch)).create_study(toy_study("new"))
    assert {study.id for study in SqlStudyStore(database).list_studies().items} == {"before", "new"}


@pytest.fixture
def impatient(postgres_database_url: str) -> Iterator[Database]:
    """A PostgreSQL database whose locks are waited for shortly."""
    database = Database(postgres_database_url, busy_timeout_s=0.2)
    yield database
    database.close()


@pytest.mark.postgres
def test_row_locked_by_another_is_waited_for_then_reported(impatient: Database) -> None:
    store = SqlStudyStore(impatient)
    store.create_study(toy_study())
    with impatient.write() as session:
        session.execute(text("SELECT id FROM studies FOR UPDATE"))
        with pytest.raises(DatabaseBusyError, match="lock timeout"):
            store.start_trials("s1", [toy_space().extreme(largest=True)])
    assert store.list_trials("s1") == []


@pytest.mark.postgres
def test_connections_cut_by_the_server_are_replaced(impatient: Database, postgres_database_url: str) -> None:
    jobs, other = JobStore(impatient), Database(postgres_database_url)
    job = jobs.submit(JobKind.TRAIN, {})
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "

    def cut_off(session: Session) -> None:
        session.execute(text("UPDATE jobs SET worker = 'cut off'"))
        with other.read() as killer:
            killer.execute(text(cut + "AND datname = current_database()"))
        session.execute(text("UPDATE jobs SET worker = 'never'"))

    with pytest.raises(DatabaseUnavailableError):
        impatient.run_write(cut_off)
    assert jobs.list().items == [job]
    other.close()
