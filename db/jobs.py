"""JobStore: the job queue. Leases end by the database's clock; epochs fence off former holders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from sqlalchemy import and_, exists, or_, select
from sqlalchemy.orm import Session

from db.backend.checks import check_integer, check_json, check_positive, check_text, clean_text, json_digest
from db.backend.cursor import Keyset
from db.backend.upsert import insert_new
from db.errors import IdempotencyConflictError, InvalidRecordError
from db.ids import new_id
from db.job_moves import (
    EXPIRED,
    add_event,
    add_state_event,
    change,
    check_epoch,
    find,
    find_held,
    lose,
    move,
    reap,
)
from db.records import Job, JobEvent, JobKind, JobState, Page
from db.schema.base import database_now
from db.schema.convert import event_of, job_of
from db.schema.job_rows import JobEventRow, JobRow
from db.schema.transitions import HELD, JobAction
from db.session import Transactions

Events: TypeAlias = list[JobEvent]

LONGEST_TTL_S = 86_400.0
NEWEST_FIRST = Keyset("jobs", (JobRow.id,), descending=True)
CLAIMABLE = and_(JobRow.state == JobState.PENDING, JobRow.available_at <= database_now())


class JobStore:
    """Jobs and their events. Every method is one transaction and safe to call from anywhere."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    def submit(self, kind: JobKind, payload: Mapping[str, Any], *, idempotency_key: str | None = None) -> Job:
        """Queue a job. The same key with the same kind and payload gives the job queued before.

        Raises IdempotencyConflictError for the same key with another request, and
        InvalidRecordError for a payload that is no JSON.
        """
        body = check_json("payload", payload)
        digest = json_digest({"kind": str(kind), "payload": body})
        if idempotency_key is not None:
            check_text("idempotency key", idempotency_key)
        job_id = new_id()
        columns = {
            "id": job_id,
            "kind": JobKind(kind).value,
            "state": JobState.PENDING.value,
            "payload": body,
            "progress": {},
            "epoch": 0,
            "attempts": 0,
            "created_at": database_now(),
            "updated_at": database_now(),
            "available_at": database_now(),
            "last_seq": 1,
            "idempotency_key": idempotency_key,
            "body_sha256": digest,
        }

        def work(session: Session) -> Job:
            if insert_new(session, JobRow, columns):
                row = find(session, job_id)
                add_state_event(session, row, None, None)
                return job_of(row)
            row = session.scalars(select(JobRow).where(JobRow.idempotency_key == idempotency_key)).one()
            if row.body_sha256 != digest:
                raise IdempotencyConflictError(
                    f"idempotency key {idempotency_key!r} was used for another request (job {row.id})"
                )
            return job_of(row)

        return self._database.run_write(work)

    def get(self, job_id: str) -> Job:
        """Raises JobNotFoundError."""
        with self._database.read() as session:
            return job_of(find(session, job_id))

    def find_by_key(self, idempotency_key: str) -> Job | None:
        """The job that was submitted with this key, if any."""
        with self._database.read() as session:
            row = session.scalar(select(JobRow).where(JobRow.idempotency_key == idempotency_key))
            return None if row is None else job_of(row)

    def list(
        self,
        *,
        kind: JobKind | None = None,
        state: JobState | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Job]:
        """Jobs, newest first.

        Raises InvalidCursorError, and InvalidRecordError for a limit outside 1..1000.
        """
        statement = select(JobRow)
        if kind is not None:
            statement = statement.where(JobRow.kind == kind)
        if state is not None:
            statement = statement.where(JobRow.state == state)
        filters = {"kind": kind, "state": state}
        with self._database.read() as session:
            return NEWEST_FIRST.page(session, statement, job_of, limit=limit, cursor=cursor, filters=filters)

    def events(self, job_id: str, *, after: int = 0, limit: int = 500) -> Events:
        """At most ``limit`` events with ``seq > after``, in order. Raises JobNotFoundError."""
        check_integer("after", after)
        check_integer("limit", limit, 1, 10_000)
        statement = select(JobEventRow).where(JobEventRow.job_id == job_id, JobEventRow.seq > after)
        with self._database.read() as session:
            find(session, job_id)
            rows = session.scalars(statement.order_by(JobEventRow.seq).limit(limit))
            return [event_of(row) for row in rows]

    def claim(self, worker: str, *, ttl_s: float) -> Job | None:
        """Take the oldest pending job for ``ttl_s`` seconds, or None; expired leases are reaped first.

        The job's new epoch must accompany every later call of its holder.
        """
        check_text("worker", worker)
        lease = database_now(_ttl(ttl_s))
        with self._database.read() as session:  # an idle worker asks often: it must not disturb writers
            if not session.scalar(select(exists().where(or_(CLAIMABLE, EXPIRED)))):
                return None

        def work(session: Session) -> Job | None:
            reap(session)
            oldest = select(JobRow).where(CLAIMABLE).order_by(JobRow.id).limit(1)
            row = session.scalar(oldest.with_for_update(skip_locked=True))
            if row is None:
                return None
            held = {"epoch": row.epoch + 1, "attempts": row.attempts + 1}
            return job_of(
                move(session, row, JobAction.CLAIM, worker, worker=worker, lease_expires_at=lease, **held)
            )

        return self._database.run_write(work)

    def heartbeat(self, job_id: str, epoch: int, *, ttl_s: float) -> bool:
        """Renew the lease for ``ttl_s`` seconds from now; True when the job is to be cancelled.

        An expired lease that nobody has taken is renewed. Raises LeaseLostError for a stale epoch or
        a job that is no longer held, JobNotFoundError.
        """
        lease = database_now(_ttl(ttl_s))

        def work(session: Session) -> bool:
            row = change(session, find_held(session, job_id, epoch), lease_expires_at=lease)
            return JobState(row.state) is JobState.CANCELLING

        return self._database.run_write(work)

    def progress(self, job_id: str, epoch: int, data: Mapping[str, Any]) -> None:
        """Replace the job's progress and add it as an event. Raises like ``heartbeat``."""
        checked = check_json("progress", data)
        self._report(job_id, epoch, "progress", checked, progress=checked)

    def log(self, job_id: str, epoch: int, message: str) -> None:
        """Add a message as an event. Raises like ``heartbeat``."""
        self._report(job_id, epoch, "log", {"message": clean_text(message)})

    def succeed(self, job_id: str, epoch: int, result: Mapping[str, Any]) -> Job:
        """Finish the job with its result, even while it is being cancelled.

        Raises LeaseLostError for a stale epoch, JobStateError for a finished job, JobNotFoundError.
        """
        checked = check_json("result", result)
        return self._finish(job_id, epoch, JobAction.SUCCEED, None, result=checked)

    def fail(self, job_id: str, epoch: int, error: str) -> Job:
        """Finish the job with a permanent error. Raises like ``succeed``."""
        message = clean_text(error)
        return self._finish(job_id, epoch, JobAction.FAIL, message, error=message)

    def cancelled(self, job_id: str, epoch: int) -> Job:
        """Confirm that the runner stopped as asked. Raises like ``succeed``, and when nobody asked."""
        return self._finish(job_id, epoch, JobAction.STOP, None)

    def release(
        self, job_id: str, epoch: int, *, error: str, delay_s: float = 0.0, counts: bool = True
    ) -> Job:
        """Give the job back after a failure that is not the job's own (lost runner, out of memory).

        It becomes pending, not to be claimed for ``delay_s`` seconds; failed with ``error`` after its
        third attempt; cancelled if that was asked for. ``counts`` False takes the attempt off the
        count: the worker was told to stop, nothing went wrong. Raises like ``succeed``.
        """
        message = clean_text(error)

        def work(session: Session) -> Job:
            row = find(session, job_id, lock=True)
            check_epoch(row, epoch)
            if not counts and JobState(row.state) in HELD:
                row = change(session, row, attempts=row.attempts - 1)
            return job_of(lose(session, row, message, delay_s))

        return self._database.run_write(work)

    def cancel(self, job_id: str) -> Job:
        """Ask for the job's end: a pending job is cancelled at once, a running one is told by heartbeat.

        Asking again changes nothing. Raises JobStateError for a job that succeeded or failed,
        JobNotFoundError.
        """

        def work(session: Session) -> Job:
            row = find(session, job_id, lock=True)
            if JobState(row.state) in (JobState.CANCELLING, JobState.CANCELLED):
                return job_of(row)
            return job_of(move(session, row, JobAction.CANCEL, "asked by a client"))

        return self._database.run_write(work)

    def reap(self) -> int:
        """Take jobs from holders whose lease has ended: pending again, or failed after three attempts.

        Returns how many. Harmless when run twice or by several processes.
        """
        return self._database.run_write(reap)

    def _report(
        self,
        job_id: str,
        epoch: int,
        kind: Literal["progress", "log"],
        data: Mapping[str, Any],
        **changes: Any,
    ) -> None:
        def work(session: Session) -> None:
            row = find_held(session, job_id, epoch)
            add_event(session, change(session, row, last_seq=row.last_seq + 1, **changes), kind, data)

        self._database.run_write(work)

    def _finish(self, job_id: str, epoch: int, action: JobAction, reason: str | None, **changes: Any) -> Job:
        def work(session: Session) -> Job:
            row = find(session, job_id, lock=True)
            check_epoch(row, epoch)
            return job_of(move(session, row, action, reason, **changes))

        return self._database.run_write(work)


def _ttl(ttl_s: float) -> float:
    """A lease's length in seconds, in (0, 86400]."""
    if check_positive("ttl_s", ttl_s) > LONGEST_TTL_S:
        raise InvalidRecordError(f"ttl_s must be at most {LONGEST_TTL_S:g}; got {ttl_s!r}")
    return ttl_s
