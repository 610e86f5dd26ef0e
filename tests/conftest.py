"""PostgreSQL for the tests that need it: a server of their own, and an empty database for each."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from db.session import Database

_numbers = count()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """URL of a PostgreSQL server with a migrated database ``nas_template``."""
    given = os.environ.get("NAS_TEST_POSTGRES_URL")
    if given is not None:
        yield _with_template(given)
        return
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not folders:
        pytest.skip("needs NAS_TEST_POSTGRES_URL, or PostgreSQL's initdb on this machine")
    pytest.importorskip("psycopg")
    with tempfile.TemporaryDirectory(prefix="nas-postgres-", ignore_cleanup_errors=True) as folder:
        yield from _server(folders[-1].parent, Path(folder))


def _server(programs: Path, folder: Path) -> Iterator[str]:
    user: list[str] = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        shutil.chown(folder, "postgres")
        user = ["runuser", "-u", "postgres", "--"]
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = str(folder / "data")
    start = f"-c listen_addresses=127.0.0.1 -p {port} -k {folder} -c fsync=off -c max_connections=60"

    def run(program: str, *arguments: str) -> None:
        command = [*user, str(programs / program), "-D", data, *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)

    run("initdb", "-A", "trust", "-U", "nas", "-E", "UTF8", "--no-sync")
    run("pg_ctl", "-w", "-l", str(folder / "log"), "-o", start, "start")
    try:
        yield _with_template(f"postgresql+psycopg://nas@127.0.0.1:{port}/postgres")
    finally:
        run("pg_ctl", "-m", "immediate", "stop")


def _with_template(url: str) -> str:
    _administer(url, "DROP DATABASE IF EXISTS nas_template")
    _administer(url, "CREATE DATABASE nas_template")
    database = Database(make_url(url).set(database="nas_template").render_as_string(hide_password=False))
    database.migrate()
    database.close()
    return url


def _administer(url: str, statement: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


@pytest.fixture
def postgres_database_url(postgres_url: str) -> Iterator[str]:
    """URL of a migrated, empty PostgreSQL database of this test alone."""
    name = f"nas_test_{os.getpid()}_{next(_numbers)}"
    _administer(postgres_url, f"CREATE DATABASE {name} TEMPLATE nas_template")
    yield make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
    _administer(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")
