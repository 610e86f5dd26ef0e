"""MeasurementStore: tasks that agents lease by the database's clock; epochs fence off former holders."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import and_, select, update
from sqlalchemy.orm import Session

from db.backend.checks import (
    check_digest,
    check_integer,
    check_json,
    check_name,
    check_positive,
    check_text,
    clean_text,
    json_digest,
)
from db.backend.upsert import insert_new
from db.campaigns import judged
from db.errors import AgentQuarantinedError, LeaseLostError, TaskNotFoundError
from db.records import JobState
from db.remote.records import AgentState, MeasurementTask, NewTask, TaskState
from db.schema.agent_convert import task_columns, task_of
from db.schema.agent_rows import AgentRow, MeasurementTaskRow
from db.schema.base import database_now
from db.schema.convert import named_device
from db.schema.job_rows import JobRow
from db.schema.registry_rows import FingerprintRow
from db.session import Transactions
from predictors.campaign import Campaign

MAX_ATTEMPTS = 3
Row = MeasurementTaskRow
WANTED = (JobState.PENDING, JobState.RUNNING)  # jobs whose tasks are still of use


class MeasurementStore:
    """Measurement tasks. Every method is one transaction and safe to call from anywhere."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    def add(self, tasks: Sequence[NewTask]) -> None:
        """Queue tasks, all or none; those whose ids exist stay as they are."""
        for task in tasks:
            check_name("agent", task.agent)
            check_text("id", task.id)
            for digest in (*task.references, *(candidate.sha256 for candidate in task.candidates)):
                check_digest("sha256", digest)

        def work(session: Session) -> None:
            for task in tasks:
                times = {"created_at": database_now(), "updated_at": database_now()}
                insert_new(session, Row, {**task_columns(task), **times})

        self._database.run_write(work)

    def of_job(self, job_id: str) -> list[MeasurementTask]:
        """The tasks of a job by id; those whose lease has ended are taken back first."""
        self.reap()
        with self._database.read() as session:
            rows = session.scalars(select(Row).where(Row.job_id == job_id).order_by(Row.id))
            return [task_of(row) for row in rows]

    def get(self, task_id: str, agent: str) -> MeasurementTask:
        """A task of this agent; raises TaskNotFoundError, for a task of another agent too."""
        with self._database.read() as session:
            return task_of(_find(session, task_id, agent))

    def lease(self, agent: str, claim_id: str, *, fingerprint: str, ttl_s: float) -> MeasurementTask | None:
        """The agent's oldest ready task for ``ttl_s`` seconds, or None; the same claim gets the same lease.

        Tasks for a fingerprint that the agent no longer has are not given. While the agent holds a
        task it gets no other. Raises AgentQuarantinedError.
        """
        check_text("claim_id", claim_id)
        expires = database_now(check_positive("ttl_s", ttl_s))

        def work(session: Session) -> MeasurementTask | None:
            _check_active(session, agent)
            _reap(session)
            held = _leased(session, agent)
            if held is not None:
                return task_of(held) if held.claim_id == claim_id else None
            wanted = select(JobRow.id).where(JobRow.id == Row.job_id, JobRow.state.in_(WANTED)).exists()
            ready = select(Row).where(Row.agent == agent, Row.state == TaskState.READY, wanted)
            ready = ready.where(Row.fingerprint == fingerprint)
            row = session.scalar(ready.order_by(Row.id).limit(1).with_for_update(skip_locked=True))
            if row is None:
                return None
            held_by = {"claim_id": claim_id, "leased_at": database_now(), "lease_expires_at": expires}
            counts = {"epoch": row.epoch + 1, "attempts": row.attempts + 1}
            return task_of(_change(session, row, state=TaskState.LEASED.value, **held_by, **counts))

        return self._database.run_write(work)

    def heartbeat(
        self, task_id: str, agent: str, epoch: int, *, ttl_s: float, progress: Mapping[str, Any]
    ) -> None:
        """Renew the lease, also one that has ended if nobody has taken the task since.

        Raises LeaseLostError, also when the task's job is wanted no more, and TaskNotFoundError.
        """
        expires = database_now(check_positive("ttl_s", ttl_s))
        checked = check_json("progress", progress)

        def work(session: Session) -> None:
            row = _held(session, task_id, agent, epoch)
            if row.state == TaskState.READY and _leased(session, agent) is not None:
                raise LeaseLostError(f"agent {agent!r} holds another task than {task_id} by now")
            leased = {"state": TaskState.LEASED.value, "lease_expires_at": expires}
            _change(session, row, progress=checked, **leased)

        self._database.run_write(work)

    def release(self, task_id: str, agent: str, epoch: int, reason: str) -> None:
        """Give a task back; after its third attempt it is dead. Raises as ``heartbeat``."""
        message = clean_text(reason)
        self._database.run_write(
            lambda session: _give_up(session, _held(session, task_id, agent, epoch), message)
        )

    def finish(
        self,
        task_id: str,
        agent: str,
        epoch: int,
        result: Mapping[str, Any],
        campaign_of: Callable[[MeasurementTask], Campaign],
    ) -> MeasurementTask:
        """Store the result, and judge ``campaign_of`` the task as the campaign of the task's id.

        A suspect result quarantines the agent in the same transaction. The same result again changes
        nothing. Raises LeaseLostError, also for another result of a finished task; TaskNotFoundError.
        """
        body = check_json("result", result)
        digest = json_digest(body)

        def work(session: Session) -> MeasurementTask:
            row = _find(session, task_id, agent, lock=True)
            if row.result_sha256 == digest and row.epoch == epoch:
                return task_of(row)
            row = _held(session, task_id, agent, epoch)
            task, device = task_of(row), named_device(agent, session.get_one(FingerprintRow, row.fingerprint))
            record = judged(session, task.id, campaign_of(task), device=device, protocol=task.protocol)
            state = TaskState.DONE if record.is_good else TaskState.SUSPECT
            if record.reason is not None:
                _quarantine(session, agent, f"task {task_id}: {record.reason}")
            row = _change(
                session,
                row,
                state=state.value,
                lease_expires_at=None,
                result=body,
                result_sha256=digest,
                error=record.reason,
            )
            return task_of(row)

        return self._database.run_write(work)

    def is_leased_file(self, agent: str, sha256: str) -> bool:
        """Whether a file belongs to the task that the agent holds."""
        with self._database.read() as session:
            row = _leased(session, agent)
            return row is not None and sha256 in (*row.references, *(c["sha256"] for c in row.candidates))

    def reap(self) -> int:
        """Take tasks from agents whose lease has ended; how many there were."""
        with self._database.read() as session:  # asked often: it must not disturb writers
            if session.scalar(select(Row.id).where(_expired()).limit(1)) is None:
                return 0
        return self._database.run_write(_reap)


def _expired() -> Any:
    return and_(Row.state == TaskState.LEASED, Row.lease_expires_at < database_now())


def _reap(session: Session) -> int:
    rows = session.scalars(select(Row).where(_expired()).with_for_update(skip_locked=True)).all()
    for row in rows:
        _give_up(session, row, f"the lease of agent {row.agent} ended")
    return len(rows)


def _give_up(session: Session, row: MeasurementTaskRow, reason: str) -> None:
    state = TaskState.DEAD if row.attempts >= MAX_ATTEMPTS else TaskState.READY
    _change(session, row, state=state.value, lease_expires_at=None, claim_id=None, error=reason)


def _find(session: Session, task_id: str, agent: str, *, lock: bool = False) -> MeasurementTaskRow:
    statement = select(Row).where(Row.id == task_id, Row.agent == agent)
    row = session.scalar(statement.with_for_update() if lock else statement)
    if row is None:
        raise TaskNotFoundError(f"agent {agent!r} has no measurement task {task_id!r}")
    return row


def _leased(session: Session, agent: str) -> MeasurementTaskRow | None:
    """The task that the agent holds, if any."""
    return session.scalar(select(Row).where(Row.agent == agent, Row.state == TaskState.LEASED))


def _held(session: Session, task_id: str, agent: str, epoch: int) -> MeasurementTaskRow:
    """The locked row of a task that this epoch was the last to lease and whose job still wants it.

    The lease may have ended, for example while the server was away: nobody has taken the task since.
    """
    check_integer("epoch", epoch, 1)
    row = _find(session, task_id, agent, lock=True)
    if row.state not in (TaskState.LEASED, TaskState.READY) or row.epoch != epoch:
        raise LeaseLostError(
            f"epoch {epoch} does not hold measurement task {task_id}: it is {row.state}, epoch {row.epoch}"
        )
    state = session.scalar(select(JobRow.state).where(JobRow.id == row.job_id))
    if state not in WANTED:
        raise LeaseLostError(f"measurement task {task_id} is wanted no more: its job is {state}")
    return row


def _change(session: Session, row: MeasurementTaskRow, **values: Any) -> MeasurementTaskRow:
    """Update a locked row; that it still is what was read decides in the UPDATE itself."""
    unchanged = and_(Row.id == row.id, Row.state == row.state, Row.epoch == row.epoch)
    statement = update(Row).where(unchanged).values(updated_at=database_now(), **values).returning(Row)
    options = {"populate_existing": True, "synchronize_session": False}
    changed = session.scalars(statement, execution_options=options).one_or_none()
    if changed is None:
        raise LeaseLostError(f"measurement task {row.id} was changed by another transaction")
    return changed


def _check_active(session: Session, agent: str) -> None:
    row = session.get(AgentRow, agent)
    if row is not None and row.state == AgentState.QUARANTINED:
        raise AgentQuarantinedError(f"agent {agent!r} is quarantined: {row.reason}")


def _quarantine(session: Session, agent: str, reason: str) -> None:
    statement = update(AgentRow).where(AgentRow.name == agent, AgentRow.state == AgentState.ACTIVE)
    session.execute(statement.values(state=AgentState.QUARANTINED.value, reason=reason))
