"""Kill -9 of runner and worker, and orderly stops: the job goes on and nothing acknowledged is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from db.records import Job, JobKind, JobState
from service.settings import load_settings
from service.stores import Stores, open_database, open_stores
from tests.service.conftest import DEVICE, eventually, fake_environment, seed_records

PAYLOAD = {
    "supernet": "digits", "device": DEVICE.name, "searcher": "nsga2", "budget": 60, "batch_size": 10,
    "seed": 3, "study": None, "objectives": [], "constraints": [],
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def stores(folder: Path) -> Iterator[Stores]:
    settings = load_settings(data_dir=folder)
    database = open_database(settings)
    stores = open_stores(database, settings)
    seed_records(stores)
    yield stores
    database.close()


@pytest.fixture
def workers(folder: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    running: list[subprocess.Popen[bytes]] = []
    yield running
    for worker in running:
        worker.kill()
        worker.wait()


def start_worker(folder: Path, workers: list[subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    with (folder / "worker.log").open("ab") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "service.worker"], env=fake_environment(folder), stdout=log, stderr=log
        )
    workers.append(worker)
    return worker


def runners_of(worker: subprocess.Popen[bytes]) -> list[int]:
    children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children")
    return [int(pid) for pid in children.read_text().split()]


def is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def finished(stores: Stores, job: Job) -> int:
    trials = stores.studies.list_trials(job.id) if stores.jobs.get(job.id).progress else []
    return sum(trial.state == "complete" for trial in trials)


def acknowledged(stores: Stores, job: Job) -> list[tuple[int, tuple[int, ...], dict[str, float]]]:
    return [
        (trial.number, trial.evaluation.arch.genes, dict(trial.evaluation.values))
        for trial in stores.studies.list_trials(job.id)
        if trial.state == "complete"
    ]


def done(stores: Stores, job: Job) -> bool:
    return stores.jobs.get(job.id).state.is_final


@pytest.mark.parametrize("victim", ["runner", "worker"])
def test_killed_search_resumes_to_the_trials_of_an_unbroken_one(
    victim: str, folder: Path, stores: Stores, workers: list[subprocess.Popen[bytes]]
) -> None:
    worker = start_worker(folder, workers)
    job = stores.jobs.submit(JobKind.SEARCH, PAYLOAD)
    eventually(lambda: finished(stores, job) >= 15, "some trials are stored")
    (runner,) = runners_of(worker)
    os.kill(runner if victim == "runner" else worker.pid, signal.SIGKILL)
    eventually(lambda: not is_alive(runner), "the runner dies with its worker")
    kept = acknowledged(stores, job)
    assert not done(stores, job)
    if victim == "worker":
        start_worker(folder, workers)
    eventually(lambda: done(stores, job), "the job ends")
    ended = stores.jobs.get(job.id)
    assert (ended.state, ended.attempts) == (JobState.SUCCEEDED, 2)
    after = acknowledged(stores, job)
    assert [entry for entry in after if entry in kept] == kept
    assert [number for number, _, _ in after] == list(range(60))

    whole = stores.jobs.submit(JobKind.SEARCH, PAYLOAD)
    eventually(lambda: done(stores, whole), "an unbroken job ends")
    assert acknowledged(stores, whole) == after
    assert stores.studies.check_fronts() == []


def test_stopped_worker_gives_its_job_back_without_counting_the_attempt(
    folder: Path, stores: Stores, workers: list[subprocess.Popen[bytes]]
) -> None:
    worker = start_worker(folder, workers)
    job = stores.jobs.submit(JobKind.SEARCH, PAYLOAD)
    eventually(lambda: finished(stores, job) >= 15, "some trials are stored")
    (runner,) = runners_of(worker)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    assert not is_alive(runner)
    given_back = stores.jobs.get(job.id)
    assert (given_back.state, given_back.attempts) == (JobState.PENDING, 0)
    start_worker(folder, workers)
    eventually(lambda: done(stores, job), "the job ends")
    assert stores.jobs.get(job.id).state is JobState.SUCCEEDED


def test_runner_that_lost_its_lease_stores_nothing(
    folder: Path, stores: Stores, workers: list[subprocess.Popen[bytes]]
) -> None:
    job = stores.jobs.submit(JobKind.SEARCH, PAYLOAD)
    old = stores.jobs.claim("old", ttl_s=0.05)
    assert old is not None
    eventually(lambda: stores.jobs.reap() == 1, "the lease ends")
    command = [sys.executable, "-m", "fake_runner", job.id, "--epoch", str(old.epoch)]
    late = subprocess.run(command, env=fake_environment(folder), timeout=60, check=False, capture_output=True)
    assert late.returncode == 76, late.stderr.decode()
    assert stores.jobs.get(job.id).state is JobState.PENDING
    start_worker(folder, workers)
    eventually(lambda: done(stores, job), "the job ends")
    assert stores.jobs.get(job.id).epoch == 2


def test_jobs_are_done_one_at_a_time(
    folder: Path, stores: Stores, workers: list[subprocess.Popen[bytes]]
) -> None:
    first, second = (stores.jobs.submit(JobKind.SEARCH, {**PAYLOAD, "seed": seed}) for seed in (1, 2))
    start_worker(folder, workers)
    eventually(lambda: stores.jobs.get(first.id).state is JobState.RUNNING, "the first job runs")
    assert stores.jobs.get(second.id).state is JobState.PENDING
    eventually(lambda: done(stores, second), "the second ends")
    start = next(e for e in stores.jobs.events(second.id) if e.data.get("to") == "running")
    end = stores.jobs.events(first.id)[-1]
    assert start.created_at >= end.created_at
