"""The moves of one job inside a transaction: lock, check, conditional update, event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from sqlalchemy import and_, select, update
from sqlalchemy.orm import Session

from db.errors import JobNotFoundError, JobStateError, LeaseLostError
from db.records import JobState
from db.schema.base import database_now
from db.schema.job_rows import JobEventRow, JobRow
from db.schema.transitions import HELD, MAX_ATTEMPTS, TRANSITIONS, JobAction

EXPIRED = and_(JobRow.state.in_(HELD), JobRow.lease_expires_at < database_now())


def find(session: Session, job_id: str, *, lock: bool = False) -> JobRow:
    """The job's row, locked against other transactions if asked; raises JobNotFoundError."""
    statement = select(JobRow).where(JobRow.id == job_id)
    row = session.scalar(statement.with_for_update() if lock else statement)
    if row is None:
        raise JobNotFoundError(f"no job {job_id!r}")
    return row


def find_held(session: Session, job_id: str, epoch: int) -> JobRow:
    """The locked row of a job that this epoch holds; raises LeaseLostError, JobNotFoundError."""
    row = find(session, job_id, lock=True)
    check_epoch(row, epoch)
    if JobState(row.state) not in HELD:
        raise LeaseLostError(f"job {job_id} is {row.state}: nobody holds it")
    return row


def check_epoch(row: JobRow, epoch: int) -> None:
    """Raise LeaseLostError unless the epoch is the newest one and the job was not taken back since."""
    if row.epoch != epoch or JobState(row.state) is JobState.PENDING:
        raise LeaseLostError(
            f"epoch {epoch} no longer holds job {row.id}: it is {row.state}, epoch {row.epoch}"
        )


def move(session: Session, row: JobRow, action: JobAction, reason: str | None, **changes: Any) -> JobRow:
    """Change the locked job's state by the table of transitions and write the event.

    Raises JobStateError when its state does not allow the action.
    """
    before = JobState(row.state)
    target = TRANSITIONS.get((before, action))
    if target is None:
        raise JobStateError(f"job {row.id} is {before}: it cannot {action}")
    if target not in HELD:
        changes["lease_expires_at"] = None
    moved = change(session, row, state=target.value, last_seq=row.last_seq + 1, **changes)
    add_state_event(session, moved, before, reason)
    return moved


def change(session: Session, row: JobRow, **values: Any) -> JobRow:
    """Update a locked row; that it still is what was read decides in the UPDATE itself."""
    unchanged = and_(JobRow.id == row.id, JobRow.state == row.state, JobRow.epoch == row.epoch)
    statement = update(JobRow).where(unchanged).values(updated_at=database_now(), **values).returning(JobRow)
    options = {"populate_existing": True, "synchronize_session": False}
    changed = session.scalars(statement, execution_options=options).one_or_none()
    if changed is None:
        raise LeaseLostError(f"job {row.id} was changed by another transaction")
    return changed


def add_state_event(session: Session, row: JobRow, before: JobState | None, reason: str | None) -> None:
    """Write the event ``last_seq`` of a job that has just reached its state."""
    data = {"from": before, "to": row.state, "reason": reason}
    add_event(session, row, "state", data, is_final=JobState(row.state).is_final)


def add_event(
    session: Session,
    row: JobRow,
    kind: Literal["state", "progress", "log"],
    data: Mapping[str, Any],
    *,
    is_final: bool = False,
) -> None:
    """Write the event ``last_seq`` of the job."""
    event = JobEventRow(
        job_id=row.id,
        seq=row.last_seq,
        kind=kind,
        data=dict(data),
        is_final=is_final,
        created_at=row.updated_at,
    )
    session.add(event)
    session.flush()


def lose(session: Session, row: JobRow, reason: str, delay_s: float = 0.0) -> JobRow:
    """What becomes of a job whose runner is gone: pending again, failed for good, or cancelled."""
    if JobState(row.state) is JobState.CANCELLING:
        return move(session, row, JobAction.RETRY, reason)
    if row.attempts >= MAX_ATTEMPTS:
        error = f"given up after {row.attempts} attempts: {reason}"
        return move(session, row, JobAction.GIVE_UP, reason, error=error)
    return move(session, row, JobAction.RETRY, reason, worker=None, available_at=database_now(delay_s))


def reap(session: Session) -> int:
    """Take all jobs with an ended lease from their holders; how many there were."""
    statement = select(JobRow).where(EXPIRED).order_by(JobRow.id)
    rows = session.scalars(statement.with_for_update(skip_locked=True)).all()
    for row in rows:
        lose(session, row, f"the lease of worker {row.worker} ended")
    return len(rows)
