"""Migrations give the tables of the rows, from nothing and from every released schema."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from db.errors import DatabaseSchemaError
from db.jobs import JobStore
from db.records import JobKind
from db.schema.tables import METADATA
from db.session import Database
from db.study_store import SqlStudyStore
from tests.db.golden import N_TRIALS, STUDY, take_a_trial

GOLDEN = sorted((Path(__file__).parent.parent / "golden" / "schema").glob("*.sqlite"))


def test_migrations_give_the_tables_of_the_rows(database: Database) -> None:
    with database.read() as session:
        context = MigrationContext.configure(session.connection(), opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.stem)
def test_released_schema_upgrades_and_takes_a_trial(golden: Path, tmp_path: Path) -> None:
    shutil.copy(golden, tmp_path / "nas.db")
    database = Database(f"sqlite:///{tmp_path / 'nas.db'}")
    database.migrate()
    database.verify()
    store = SqlStudyStore(database)
    assert store.get_study(STUDY.id) == STUDY
    assert len(store.front(STUDY.id)) > 1
    evaluation = take_a_trial(database)
    assert [trial.evaluation for trial in store.front(STUDY.id)] == [evaluation]
    assert len(store.list_trials(STUDY.id)) == N_TRIALS + 1
    assert store.check_fronts() == []
    jobs = JobStore(database)
    events = [jobs.events(job.id) for job in jobs.list().items]
    assert all(events)
    for kind in JobKind:
        assert jobs.submit(kind, {"of": str(kind)}).kind == kind
    database.close()


def test_every_revision_has_a_golden_file() -> None:
    versions = Path(__file__).parents[2] / "db" / "migrations" / "versions"
    assert [path.stem for path in GOLDEN] == sorted(path.name[:4] for path in versions.glob("[0-9]*.py"))


def test_migrating_again_changes_nothing(database: Database) -> None:
    database.migrate()
    database.check()


def test_migrating_at_once_is_safe(tmp_path: Path) -> None:
    databases = [Database(f"sqlite:///{tmp_path / 'deep' / 'nas.db'}") for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(Database.migrate, databases))
    for database in databases:
        database.verify()
        database.close()


def test_unmigrated_database_is_named(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    with pytest.raises(DatabaseSchemaError, match="revision None"):
        database.check()
    with pytest.raises(DatabaseSchemaError, match="not migrated"):
        SqlStudyStore(database).get_study("s")
    database.close()


def test_newer_schema_is_refused_and_kept(database: Database) -> None:
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for call in (database.migrate, database.check):
        with pytest.raises(DatabaseSchemaError, match="9999"):
            call()
