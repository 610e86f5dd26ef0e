"""JobStore: life of a job, idempotency, leases, events."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from db.errors import (
    IdempotencyConflictError,
    InvalidCursorError,
    InvalidRecordError,
    JobNotFoundError,
    JobStateError,
    LeaseLostError,
)
from db.jobs import JobStore
from db.records import Job, JobKind, JobState
from db.session import Database

SOON = 0.02  # seconds; a lease that a test waits for


@pytest.fixture
def jobs(database: Database) -> JobStore:
    return JobStore(database)


def claimed(jobs: JobStore, ttl_s: float = 60.0) -> Job:
    job = jobs.claim("worker", ttl_s=ttl_s)
    assert job is not None
    return job


def test_life_of_a_job(jobs: JobStore) -> None:
    job = jobs.submit(JobKind.TRAIN, {"supernet": "digits", "seed": 0})
    assert (job.state, job.epoch, job.attempts, job.worker) == (JobState.PENDING, 0, 0, None)
    assert jobs.get(job.id) == job
    assert job.created_at - datetime.now(UTC) < timedelta(seconds=5)
    held = claimed(jobs)
    assert (held.id, held.state, held.epoch, held.attempts, held.worker) == (
        job.id,
        JobState.RUNNING,
        1,
        1,
        "worker",
    )
    assert held.lease_expires_at is not None
    assert timedelta(seconds=50) < held.lease_expires_at - held.updated_at < timedelta(seconds=61)
    jobs.progress(job.id, 1, {"step": 3, "eta_s": 1.5})
    jobs.log(job.id, 1, "half way")
    assert jobs.get(job.id).progress == {"step": 3, "eta_s": 1.5}
    done = jobs.succeed(job.id, 1, {"top1": 0.9})
    assert (done.state, done.result, done.error, done.lease_expires_at) == (
        JobState.SUCCEEDED,
        {"top1": 0.9},
        None,
        None,
    )
    assert jobs.get(job.id) == done
    events = jobs.events(job.id)
    assert [(e.seq, e.kind) for e in events] == [
        (1, "state"),
        (2, "state"),
        (3, "progress"),
        (4, "log"),
        (5, "state"),
    ]
    assert [e.data.get("to") for e in events if e.kind == "state"] == ["pending", "running", "succeeded"]
    assert events[3].data == {"message": "half way"}


def test_events_can_be_followed(jobs: JobStore) -> None:
    job = jobs.submit(JobKind.TRAIN, {})
    claimed(jobs)
    for step in range(5):
        jobs.progress(job.id, 1, {"step": step})
    assert [e.seq for e in jobs.events(job.id, after=2, limit=3)] == [3, 4, 5]
    assert jobs.events(job.id, after=7) == []


def test_oldest_pending_job_is_claimed_first(jobs: JobStore) -> None:
    ids = []
    for _ in range(3):
        ids.append(jobs.submit(JobKind.TRAIN, {}).id)
        time.sleep(0.002)  # ids of one millisecond are in no particular order
    assert [claimed(jobs).id for _ in range(3)] == ids
    assert jobs.claim("worker", ttl_s=60) is None


def test_unknown_job_is_named(jobs: JobStore) -> None:
    calls = (
        lambda: jobs.get("nope"),
        lambda: jobs.events("nope"),
        lambda: jobs.cancel("nope"),
        lambda: jobs.heartbeat("nope", 1, ttl_s=1),
        lambda: jobs.progress("nope", 1, {}),
        lambda: jobs.log("nope", 1, ""),
        lambda: jobs.succeed("nope", 1, {}),
        lambda: jobs.fail("nope", 1, ""),
        lambda: jobs.cancelled("nope", 1),
        lambda: jobs.release("nope", 1, error=""),
    )
    for call in calls:
        with pytest.raises(JobNotFoundError, match="nope"):
            call()


class TestIdempotency:
    def test_same_request_gives_the_same_job(self, jobs: JobStore) -> None:
        first = jobs.submit(JobKind.TRAIN, {"a": 1, "b": 2}, idempotency_key="k")
        claimed(jobs)
        again = jobs.submit(JobKind.TRAIN, {"b": 2, "a": 1}, idempotency_key="k")
        assert again == jobs.get(first.id)
        assert len(jobs.list().items) == 1
        assert jobs.find_by_key("k") == again
        assert jobs.find_by_key("other") is None

    @pytest.mark.parametrize(("kind", "payload"), [(JobKind.TRAIN, {"a": 2}), (JobKind.SEARCH, {"a": 1})])
    def test_other_request_is_refused(self, jobs: JobStore, kind: JobKind, payload: dict[str, int]) -> None:
        jobs.submit(JobKind.TRAIN, {"a": 1}, idempotency_key="k")
        with pytest.raises(IdempotencyConflictError, match="'k'"):
            jobs.submit(kind, payload, idempotency_key="k")
        assert len(jobs.list().items) == 1

    def test_without_key_or_with_another_it_is_another_job(self, jobs: JobStore) -> None:
        made = [jobs.submit(JobKind.TRAIN, {}, idempotency_key=key) for key in (None, None, "a", "b")]
        assert len({job.id for job in made}) == 4


class TestLeases:
    def test_expired_lease_is_taken_over_and_the_old_holder_fenced_off(self, jobs: JobStore) -> None:
        job = jobs.submit(JobKind.TRAIN, {})
        claimed(jobs, SOON)
        time.sleep(2 * SOON)
        new = jobs.claim("other", ttl_s=60)
        assert new is not None
        assert (new.id, new.epoch, new.attempts, new.worker) == (job.id, 2, 2, "other")
        before = jobs.events(job.id)
        calls = (
            lambda: jobs.heartbeat(job.id, 1, ttl_s=60),
            lambda: jobs.progress(job.id, 1, {"late": True}),
            lambda: jobs.log(job.id, 1, "late"),
            lambda: jobs.succeed(job.id, 1, {}),
            lambda: jobs.fail(job.id, 1, "late"),
            lambda: jobs.cancelled(job.id, 1),
            lambda: jobs.release(job.id, 1, error="late"),
        )
        for call in calls:
            with pytest.raises(LeaseLostError, match="epoch 1"):
                call()
        assert jobs.get(job.id) == new
        assert jobs.events(job.id) == before

    def test_living_holder_keeps_its_job(self, jobs: JobStore) -> None:
        jobs.submit(JobKind.TRAIN, {})
        job = claimed(jobs, 60)
        assert jobs.reap() == 0
        assert jobs.claim("other", ttl_s=60) is None
        assert jobs.heartbeat(job.id, job.epoch, ttl_s=120) is False
        renewed = jobs.get(job.id)
        assert job.lease_expires_at is not None
        assert renewed.lease_expires_at is not None
        assert renewed.lease_expires_at > job.lease_expires_at + timedelta(seconds=50)

    def test_expired_lease_that_nobody_took_can_be_renewed(self, jobs: JobStore) -> None:
        jobs.submit(JobKind.TRAIN, {})
        job = claimed(jobs, SOON)
        time.sleep(2 * SOON)
        assert jobs.heartbeat(job.id, job.epoch, ttl_s=60) is False
        assert jobs.reap() == 0

    def test_job_that_kills_its_runners_fails_after_three_attempts(self, jobs: JobStore) -> None:
        job = jobs.submit(JobKind.TRAIN, {})
        for attempt in (1, 2, 3):
            assert claimed(jobs, SOON).attempts == attempt
            time.sleep(2 * SOON)
        assert jobs.reap() == 1
        assert jobs.reap() == 0
        failed = jobs.get(job.id)
        assert failed.state is JobState.FAILED
        assert "3 attempts" in (failed.error or "")
        assert "worker" in (failed.error or "")

    def test_holder_whose_job_was_reaped_has_lost_it(self, jobs: JobStore) -> None:
        jobs.submit(JobKind.TRAIN, {})
        job = claimed(jobs, SOON)
        time.sleep(2 * SOON)
        jobs.reap()
        with pytest.raises(LeaseLostError, match="pending"):
            jobs.heartbeat(job.id, job.epoch, ttl_s=60)
        with pytest.raises(LeaseLostError, match="pending"):
            jobs.succeed(job.id, job.epoch, {})

    def test_cancelling_job_of_a_dead_runner_ends_cancelled(self, jobs: JobStore) -> None:
        jobs.submit(JobKind.TRAIN, {})
        job = claimed(jobs, SOON)
        assert jobs.cancel(job.id).state is JobState.CANCELLING
        time.sleep(2 * SOON)
        assert jobs.reap() == 1
        assert jobs.get(job.id).state is JobState.CANCELLED

    def test_cancel_reaches_the_holder_by_heartbeat(self, jobs: JobStore) -> None:
        jobs.submit(JobKind.TRAIN, {})
        job = claimed(jobs)
        jobs.cancel(job.id)
        assert jobs.heartbeat(job.id, job.epoch, ttl_s=60) is True
        jobs.progress(job.id, job.epoch, {"stopping": True})
        assert jobs.cancelled(job.id, job.epoch).state is JobState.CANCELLED

    def test_released_job_waits_for_its_delay(self, jobs: JobStore) -> None:
        jobs.submit(JobKind.TRAIN, {})
        job = claimed(jobs)
        released = jobs.release(job.id, job.epoch, error="out of memory", delay_s=3600)
        assert released.state is JobState.PENDING
        assert jobs.claim("worker", ttl_s=60) is None
        later = jobs.submit(JobKind.TRAIN, {})
        assert claimed(jobs).id == later.id  # the queue moves on meanwhile
        jobs.release(later.id, 1, error="out of memory", delay_s=SOON)
        time.sleep(2 * SOON)
        assert (claimed(jobs).id, jobs.get(later.id).epoch) == (later.id, 2)

    def test_attempt_that_is_not_counted_can_be_repeated_for_ever(self, jobs: JobStore) -> None:
        jobs.submit(JobKind.TRAIN, {})
        for epoch in range(1, 6):
            job = claimed(jobs)
            assert (job.epoch, job.attempts) == (epoch, 1)
            released = jobs.release(job.id, job.epoch, error="the worker was stopped", counts=False)
            assert (released.state, released.attempts) == (JobState.PENDING, 0)
        job = claimed(jobs)
        jobs.succeed(job.id, job.epoch, {})
        with pytest.raises(JobStateError):
            jobs.release(job.id, job.epoch, error="late", counts=False)


class TestListing:
    def test_newest_first_with_filters_and_pages(self, jobs: JobStore) -> None:
        made = []
        for i in range(7):
            made.append(jobs.submit([JobKind.TRAIN, JobKind.SEARCH][i % 2], {"i": i}).id)
            time.sleep(0.002)
        assert [job.id for job in jobs.list().items] == made[::-1]
        assert [job.id for job in jobs.list(kind=JobKind.SEARCH).items] == made[1::2][::-1]
        jobs.cancel(made[0])
        assert [job.id for job in jobs.list(state=JobState.CANCELLED).items] == [made[0]]
        seen, cursor = [], None
        while True:
            page = jobs.list(limit=3, cursor=cursor)
            seen += [job.id for job in page.items]
            jobs.submit(JobKind.TRAIN, {})  # arrivals do not disturb the pages
            cursor = page.next_cursor
            if cursor is None:
                break
        assert seen == made[::-1]

    def test_cursor_of_other_filters_is_refused(self, jobs: JobStore) -> None:
        for _ in range(2):
            jobs.submit(JobKind.TRAIN, {})
        cursor = jobs.list(limit=1).next_cursor
        assert cursor is not None
        with pytest.raises(InvalidCursorError):
            jobs.list(kind=JobKind.TRAIN, limit=1, cursor=cursor)

    @pytest.mark.parametrize("limit", [0, -1, 1001, True, 2.5])
    def test_bad_limit_is_named(self, jobs: JobStore, limit: int) -> None:
        with pytest.raises(InvalidRecordError, match="limit"):
            jobs.list(limit=limit)


class TestBadInput:
    @pytest.mark.parametrize(
        "payload", [{"a": float("nan")}, {"a": [float("inf")]}, {"a": object()}, {"a": b"bytes"}]
    )
    def test_payload_must_be_finite_json(self, jobs: JobStore, payload: dict[str, object]) -> None:
        with pytest.raises(InvalidRecordError, match="payload"):
            jobs.submit(JobKind.TRAIN, payload)
        assert jobs.list().items == []

    @pytest.mark.parametrize("ttl_s", [0.0, -1.0, float("nan"), float("inf"), 1e9])
    def test_ttl_must_be_sensible(self, jobs: JobStore, ttl_s: float) -> None:
        jobs.submit(JobKind.TRAIN, {})
        with pytest.raises(InvalidRecordError, match="ttl_s"):
            jobs.claim("worker", ttl_s=ttl_s)

    def test_result_must_be_finite_and_the_job_goes_on(self, jobs: JobStore) -> None:
        jobs.submit(JobKind.TRAIN, {})
        job = claimed(jobs)
        with pytest.raises(InvalidRecordError, match="result"):
            jobs.succeed(job.id, job.epoch, {"top1": float("nan")})
        assert jobs.get(job.id).state is JobState.RUNNING

    def test_any_error_message_can_be_stored(self, jobs: JobStore) -> None:
        jobs.submit(JobKind.TRAIN, {})
        job = claimed(jobs)
        jobs.log(job.id, job.epoch, "nul \0 surrogate \ud800")
        failed = jobs.fail(job.id, job.epoch, "nul \0 surrogate \ud800 " + "x" * 2_000_000)
        assert (failed.error or "").startswith("nul \\x00 surrogate \\ud800")
        assert len(failed.error or "") <= 1_000_000

    def test_odd_texts_in_json_come_back(self, jobs: JobStore) -> None:
        payload = {"text": "nul \0 surrogate \ud800 emoji 🙂", "": [None, True, -0.0, 1e300, 2**60]}
        assert jobs.get(jobs.submit(JobKind.TRAIN, payload).id).payload == payload
