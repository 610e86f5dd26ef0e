"""A migrated, empty database per test: a SQLite file, and PostgreSQL where a server can be had."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from db.session import Database

POSTGRES = pytest.param("postgresql", marks=pytest.mark.postgres)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file to copy, which is faster than to migrate."""
    path = tmp_path_factory.mktemp("template") / "template.db"
    database = Database(f"sqlite:///{path}")
    database.migrate()
    database.close()
    return path


@pytest.fixture(params=["sqlite", POSTGRES])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a migrated, empty database of this test alone."""
    if request.param == "sqlite":
        path = tmp_path / "nas.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    yield request.getfixturevalue("postgres_database_url")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """The database at ``database_url``."""
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def sqlite_database(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    """A SQLite database whatever the backend of other tests."""
    shutil.copy(sqlite_template, tmp_path / "nas.db")
    database = Database(f"sqlite:///{tmp_path / 'nas.db'}", busy_timeout_s=0.3)
    yield database
    database.close()
