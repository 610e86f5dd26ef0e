"""Workers of one machine do one job at a time, also when they belong to servers of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from db.records import JobKind, JobState
from service.errors import SettingsError
from service.settings import load_settings
from service.stores import Stores, open_database, open_stores
from service.worker import machine_lock
from tests.service.conftest import eventually, fake_environment


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[list[Stores]]:
    """Two databases with a worker each, which share one lock."""
    with ExitStack() as stack:
        found = []
        for name in ("one", "two"):
            settings = load_settings(data_dir=tmp_path / name)
            database = open_database(settings)
            stack.callback(database.close)
            found.append(open_stores(database, settings))
            environment = fake_environment(tmp_path / name, NAS_MACHINE_LOCK=str(tmp_path / "lock" / "file"))
            log = stack.enter_context((tmp_path / f"{name}.log").open("wb"))
            command = [sys.executable, "-m", "service.worker"]
            worker = stack.enter_context(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
            stack.callback(worker.kill)
        yield found


def span(stores: Stores, job: str) -> tuple[datetime, datetime]:
    """When a job that was claimed once was claimed, and when it ended."""
    assert stores.jobs.get(job).attempts == 1
    events = stores.jobs.events(job)
    return next(e.created_at for e in events if e.data.get("to") == "running"), events[-1].created_at


def test_workers_of_two_servers_take_turns(machine: list[Stores], tmp_path: Path) -> None:
    payload = {"data": "digits", "config": {"epochs": 20}}  # 1 s
    jobs = [
        (stores, stores.jobs.submit(JobKind.TRAIN, {**payload, "supernet": f"s{i}"}).id)
        for stores in machine
        for i in range(2)
    ]
    eventually(
        lambda: all(stores.jobs.get(job).state is JobState.SUCCEEDED for stores, job in jobs), "all end", 60
    )
    spans = sorted(span(stores, job) for stores, job in jobs)
    assert all(end <= begin for (_, end), (begin, _) in pairwise(spans))
    logs = [(tmp_path / f"{name}.log").read_text() for name in ("one", "two")]
    assert any(str(tmp_path / "lock" / "file") in log for log in logs)


def test_one_holder_at_a_time_in_a_private_folder(tmp_path: Path) -> None:
    with machine_lock(tmp_path / "mine" / "file").attempt() as is_free:
        assert is_free
        with machine_lock(tmp_path / "mine" / "file").attempt() as is_free_again:
            assert not is_free_again
    assert (tmp_path / "mine").stat().st_mode & 0o777 == 0o700
    with machine_lock(tmp_path / "mine" / "file").attempt() as is_free:
        assert is_free


def test_a_folder_that_another_user_owns_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    me = os.getuid()
    if me == 0:
        os.chown(folder, 1, -1)
    else:
        monkeypatch.setattr("os.getuid", lambda: me + 1)
    with pytest.raises(SettingsError, match="NAS_MACHINE_LOCK"):
        machine_lock(folder / "file")


def test_a_path_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="machine_lock"):
        machine_lock(tmp_path / "file" / "lock")
