"""Every event in every state of a job: what comes of it, spelled out independently of the code's table."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from db.errors import JobStateError, LeaseLostError
from db.jobs import JobStore
from db.records import Job, JobKind, JobState
from db.session import Database

SOON = 0.01
STATES = {
    "pending": [],
    "running": ["claim"],
    "last_attempt": ["claim", "release", "claim", "release", "claim"],
    "cancelling": ["claim", "cancel"],
    "succeeded": ["claim", "succeed"],
    "failed": ["claim", "fail"],
    "cancelled": ["cancel"],
}
EVENTS: dict[str, Callable[[JobStore, Job], object]] = {
    "claim": lambda jobs, job: jobs.claim("worker", ttl_s=60),
    "cancel": lambda jobs, job: jobs.cancel(job.id),
    "succeed": lambda jobs, job: jobs.succeed(job.id, job.epoch, {}),
    "fail": lambda jobs, job: jobs.fail(job.id, job.epoch, "broken"),
    "stopped": lambda jobs, job: jobs.cancelled(job.id, job.epoch),
    "release": lambda jobs, job: jobs.release(job.id, job.epoch, error="lost"),
    "heartbeat": lambda jobs, job: jobs.heartbeat(job.id, job.epoch, ttl_s=60),
    "progress": lambda jobs, job: jobs.progress(job.id, job.epoch, {"step": 1}),
    "log": lambda jobs, job: jobs.log(job.id, job.epoch, "hello"),
    "expire": lambda jobs, job: _expire(jobs, job),
}
ERRORS = {"(lost)": LeaseLostError, "(refused)": JobStateError}
TABLE = """
state:        pending    running     last_attempt  cancelling  succeeded  failed     cancelled
claim         running    running     running       cancelling  succeeded  failed     cancelled
cancel        cancelled  cancelling  cancelling    cancelling  (refused)  (refused)  cancelled
succeed       (lost)     succeeded   succeeded     succeeded   (refused)  (refused)  (refused)
fail          (lost)     failed      failed        failed      (refused)  (refused)  (refused)
stopped       (lost)     (refused)   (refused)     cancelled   (refused)  (refused)  (refused)
release       (lost)     pending     failed        cancelled   (refused)  (refused)  (refused)
heartbeat     (lost)     running     running       cancelling  (lost)     (lost)     (lost)
progress      (lost)     running     running       cancelling  (lost)     (lost)     (lost)
log           (lost)     running     running       cancelling  (lost)     (lost)     (lost)
expire        pending    pending     failed        cancelled   succeeded  failed     cancelled
"""
HEADER, *ROWS = [line.split() for line in TABLE.strip().splitlines()]
CASES = [(row[0], state, row[i + 1]) for row in ROWS for i, state in enumerate(HEADER[1:])]


def _expire(jobs: JobStore, job: Job) -> None:
    """Let the lease of the job, if it has one, run out, and reap."""
    if job.state in (JobState.RUNNING, JobState.CANCELLING):
        jobs.heartbeat(job.id, job.epoch, ttl_s=SOON)
        time.sleep(2 * SOON)
    jobs.reap()


def job_in(jobs: JobStore, state: str) -> Job:
    job = jobs.submit(JobKind.TRAIN, {})
    for event in STATES[state]:
        EVENTS[event](jobs, job)
        job = jobs.get(job.id)
    return job


@pytest.mark.parametrize("state", STATES)
def test_every_event_in_every_state(database: Database, state: str) -> None:
    jobs = JobStore(database)
    outcomes = {event: outcome for event, of_state, outcome in CASES if of_state == state}
    assert outcomes.keys() == EVENTS.keys()
    for event, outcome in outcomes.items():
        job = job_in(jobs, state)
        if outcome in ERRORS:
            before = jobs.events(job.id)
            with pytest.raises(ERRORS[outcome], match=job.id):
                EVENTS[event](jobs, job)
            assert jobs.get(job.id) == job, event
            assert jobs.events(job.id) == before, event
        else:
            EVENTS[event](jobs, job)
            assert jobs.get(job.id).state == outcome, event
        _empty_queue(jobs)


def _empty_queue(jobs: JobStore) -> None:
    for job in jobs.list(state=JobState.PENDING).items:
        jobs.cancel(job.id)


@pytest.mark.parametrize("state", ["succeeded", "failed", "cancelled"])
def test_database_itself_keeps_finished_jobs_final(database: Database, state: str) -> None:
    job = job_in(JobStore(database), state)
    with pytest.raises(DBAPIError, match="final"), database.write() as session:
        session.execute(text("UPDATE jobs SET worker = 'late' WHERE id = :id"), {"id": job.id})
    assert JobStore(database).get(job.id) == job


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([event for event in EVENTS if event != "expire"]), max_size=12))
def test_history_of_a_job_is_one_chain(sqlite_database: Database, events: list[str]) -> None:
    jobs = JobStore(sqlite_database)
    _empty_queue(jobs)
    job = jobs.submit(JobKind.TRAIN, {})
    for event in events:
        try:
            EVENTS[event](jobs, jobs.get(job.id))
        except (JobStateError, LeaseLostError):
            continue
    history = jobs.events(job.id)
    assert [e.seq for e in history] == list(range(1, len(history) + 1))
    states = [e.data for e in history if e.kind == "state"]
    assert [s["from"] for s in states] == [None, *(s["to"] for s in states[:-1])]
    assert states[-1]["to"] == jobs.get(job.id).state
    assert sum(JobState(s["to"]).is_final for s in states) <= 1
