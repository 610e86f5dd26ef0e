"""Several processes on one database: nothing twice, nothing lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from db.jobs import JobStore
from db.records import JobKind, JobState
from db.session import Database
from db.study_store import SqlStudyStore
from tests.contracts.toy import toy_study
from tests.db.workers import claim_all, search, submit_same

ROOT = Path(__file__).parents[2]
N_PROCESSES = 3


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(N_PROCESSES, mp_context=get_context("spawn")) as pool:
        yield pool


def test_no_job_is_claimed_twice(
    database: Database, database_url: str, processes: ProcessPoolExecutor
) -> None:
    jobs = JobStore(database)
    made = {jobs.submit(JobKind.TRAIN, {"i": i}).id for i in range(40)}
    workers = [processes.submit(claim_all, database_url, f"w{i}") for i in range(N_PROCESSES)]
    claimed = [job_id for worker in workers for job_id in worker.result()]
    assert len(claimed) == len(made)
    assert set(claimed) == made
    assert all(job.epoch == 1 for job in jobs.list(state=JobState.RUNNING).items)


def test_one_idempotency_key_makes_one_job(
    database: Database, database_url: str, processes: ProcessPoolExecutor
) -> None:
    for key in ("a", "b", "c", "d"):
        ids = [processes.submit(submit_same, database_url, key) for _ in range(N_PROCESSES)]
        assert len({future.result() for future in ids}) == 1
    assert len(JobStore(database).list().items) == 4


def test_trials_of_many_processes_are_numbered_densely_and_the_front_is_right(
    database: Database, database_url: str, processes: ProcessPoolExecutor
) -> None:
    store = SqlStudyStore(database)
    store.create_study(toy_study())
    searches = [processes.submit(search, database_url, "s1", 8) for _ in range(N_PROCESSES)]
    numbers = sorted(number for future in searches for number in future.result())
    assert numbers == list(range(N_PROCESSES * 8 * 3))
    assert [trial.number for trial in store.list_trials("s1")] == numbers
    assert store.check_fronts() == []


def test_killed_writer_loses_nothing_that_was_acknowledged(database: Database, database_url: str) -> None:
    jobs = JobStore(database)
    job_id = jobs.submit(JobKind.TRAIN, {}).id
    job = jobs.claim("w", ttl_s=600)
    assert job is not None
    for _ in range(3):
        command = [sys.executable, "-m", "tests.db.workers", database_url, job_id, str(job.epoch)]
        before = len(jobs.events(job_id))
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as writer:
            assert writer.stdout is not None
            acknowledged = [int(writer.stdout.readline()) for _ in range(15)]
            os.kill(writer.pid, signal.SIGKILL)
            acknowledged += [int(line) for line in writer.stdout.read().split()]
        stored = [int(event.data["message"]) for event in jobs.events(job_id)[before:]]
        assert stored[: len(acknowledged)] == acknowledged
        assert len(stored) <= len(acknowledged) + 1  # one may be stored and not yet acknowledged
        jobs.log(job_id, job.epoch, "-1")  # the dead writer holds no lock
    database.verify()
