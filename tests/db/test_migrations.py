"""Migrations give the tables of the rows, from nothing and from every released schema."""

from __future__ import annotations

import json
import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from db.campaigns import CampaignStore
from db.errors import DatabaseSchemaError
from db.jobs import JobStore
from db.records import JobKind
from db.remote.measurements import MeasurementStore
from db.remote.records import TaskState
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


def test_judgements_of_agents_tasks_become_campaigns(tmp_path: Path) -> None:
    path = tmp_path / "nas.db"
    shutil.copy(GOLDEN[0].with_name("0006.sqlite"), path)
    result = {
        "repeats": [{"index": 0, "cpu_ms": [1.0], "wall_ms": [1.5]}],
        "references": [{"index": 0, "cpu_ms": [2.0], "wall_ms": [2.5]}],
    }
    task = {
        "id": "t", "agent": "pi", "fingerprint": "f", "protocol": {"passes": 7}, "references": [],
        "candidates": [{"space": "toy@1", "genes": [0, 1], "sha256": "x"}], "state": "done", "epoch": 1,
        "attempts": 1, "progress": {}, "result": result, "scale": 0.8, "references_ms": [2.0],
        "created_at": 1, "updated_at": 2,
    }  # fmt: skip
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO fingerprints VALUES ('f', 'h', 'r', 'v', 1, 'fp32', 1)")
        task["job_id"] = connection.execute("SELECT id FROM jobs LIMIT 1").fetchone()[0]
        values = [json.dumps(v) if isinstance(v, (list, dict)) else v for v in task.values()]
        columns = ", ".join(f'"{name}"' for name in task)
        marks = ", ".join("?" * len(values))
        connection.execute(f"INSERT INTO measurement_tasks ({columns}) VALUES ({marks})", values)
    database = Database(f"sqlite:///{path}")
    database.migrate()
    database.verify()
    record = CampaignStore(database).find("t")
    assert record is not None
    assert (record.scale, record.is_good, record.references_ms) == (0.8, True, (2.0,))
    assert (record.device.name, record.protocol.passes) == ("pi", 7)
    kept = MeasurementStore(database).get("t", "pi")
    assert (kept.result, kept.state) == (result, TaskState.DONE)
    with database.read() as session:
        checks = session.scalar(text("SELECT sql FROM sqlite_master WHERE name = 'measurement_tasks'"))
    assert all(f"ck_measurement_tasks_{name}" in checks for name in ("state_known", "result_at_the_end"))
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
