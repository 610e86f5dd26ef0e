"""Two servers never share one SQLite file; the second one says so and leaves."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from db.errors import DatabaseUrlError
from service.commands.serve import only_server
from service.errors import DatabaseInUseError, ServerStartError
from tests.service.conftest import Live, fake_environment, start_server, stop_server


@pytest.fixture
def first(tmp_path: Path) -> Iterator[Live]:
    server = start_server(tmp_path / "data", "--no-worker")
    yield server
    stop_server(server)


def second(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "service.cli", "serve", "--port", "0", "--no-worker"]
    return subprocess.run(
        command, env=fake_environment(folder), capture_output=True, text=True, timeout=60, check=False
    )


def test_second_server_on_the_file_exits_with_its_name(first: Live, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(first.folder)
    for folder in (first.folder, tmp_path / "link"):
        done = second(folder)
        assert done.returncode == 3, done.stderr
        assert str(first.folder / "nas.db") in done.stderr
        assert "Traceback" not in done.stderr
    with first.client as client:
        assert client.is_ready()
    first.process.kill()
    first.process.wait()
    again = start_server(first.folder, "--no-worker")  # a killed server leaves no lock
    stop_server(again)


def test_only_server_is_about_one_sqlite_file(tmp_path: Path) -> None:
    one, two = (f"sqlite:///{tmp_path}/{name}.db" for name in ("one", "two"))
    third = only_server(one)
    with only_server(one), only_server(two), pytest.raises(DatabaseInUseError, match=r"one\.db"):
        third.__enter__()
    with only_server(one):
        pass


def test_postgresql_may_have_many_servers() -> None:
    url = "postgresql+psycopg://u:p@h/d"
    with only_server(url), only_server(url):
        pass


def test_what_cannot_be_locked_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ServerStartError, match=r"nas\.db"), only_server(f"sqlite:///{tmp_path}/file/nas.db"):
        pass
    with pytest.raises(DatabaseUrlError), only_server("mysql://h/d"):
        pass
