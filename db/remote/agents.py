"""AgentStore: machines that measure for the server, their codes and tokens. Only hashes of both are kept."""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy import Select, case, select, update
from sqlalchemy.orm import Session

from db.backend.checks import check_digest, check_name, check_positive, clean_text
from db.backend.cursor import Keyset
from db.backend.upsert import insert_new
from db.devices import check_device
from db.errors import AgentCodeError, AgentNameTakenError, AgentNotFoundError, InvalidRecordError
from db.records import Page
from db.remote.records import AgentCode, AgentRecord, AgentState, TaskState
from db.schema.agent_convert import agent_of
from db.schema.agent_rows import AgentCodeRow, AgentRow, MeasurementTaskRow
from db.schema.base import database_now
from db.schema.convert import fingerprint_columns
from db.schema.registry_rows import DeviceRow, FingerprintRow
from db.session import Transactions
from predictors.agent.wire import Description
from predictors.device import Device

BY_NAME = Keyset("agents", (AgentRow.name,))
LONGEST_CODE_S = 7 * 86_400.0


class AgentStore:
    """Agents. Every method is one transaction."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    def add_code(self, agent: str, code_sha256: str, *, ttl_s: float) -> AgentCode:
        """Let whoever shows the code within ``ttl_s`` seconds become this agent, once.

        Raises AgentNameTakenError for the name of a device that is no agent, and InvalidRecordError.
        """
        check_name("agent", agent)
        check_digest("code", code_sha256)
        if check_positive("ttl_s", ttl_s) > LONGEST_CODE_S:
            raise InvalidRecordError(f"ttl_s must be at most {LONGEST_CODE_S:g}; got {ttl_s!r}")
        columns = {"code_sha256": code_sha256, "agent": agent, "expires_at": database_now(ttl_s)}

        def work(session: Session) -> AgentCode:
            _check_free(session, agent)
            if not insert_new(session, AgentCodeRow, columns):
                raise InvalidRecordError("code: was handed out before")
            return AgentCode(agent, session.get_one(AgentCodeRow, code_sha256).expires_at)

        return self._database.run_write(work)

    def find_code(self, code_sha256: str) -> AgentCode:
        """A code that can still be used; raises AgentCodeError."""
        with self._database.read() as session:
            row = session.scalar(_usable(code_sha256))
            if row is None:
                raise AgentCodeError("the code is unknown, used or expired")
            return AgentCode(row.agent, row.expires_at)

    def enroll(
        self, code_sha256: str, description: Description, device: Device, *, token_sha256: str
    ) -> AgentRecord:
        """Use a code up: its agent is from now on this machine, with this token.

        An agent that is enrolled again loses its old token and lease, and stays quarantined if it is.
        ``device`` is what the machine measures as. Raises AgentCodeError, AgentNameTakenError.
        """
        check_digest("token", token_sha256)

        def work(session: Session) -> AgentRecord:
            row = session.scalar(_usable(code_sha256).with_for_update())
            if row is None:
                raise AgentCodeError("the code is unknown, used or expired")
            if row.agent != device.name:
                raise InvalidRecordError(f"device must be named {row.agent!r}; got {device.name!r}")
            _check_free(session, row.agent)
            used = update(AgentCodeRow).where(AgentCodeRow.code_sha256 == code_sha256)
            session.execute(used.values(used_at=database_now()))
            _put(session, description, device, token_sha256)
            return _agent(session, row.agent)

        check_device(device)
        return self._database.run_write(work)

    def authenticate(self, token_sha256: str) -> AgentRecord | None:
        """The agent with this token, if any."""
        with self._database.read() as session:
            name = session.scalar(select(AgentRow.name).where(AgentRow.token_sha256 == token_sha256))
            return None if name is None else _agent(session, name)

    def find(self, name: str) -> AgentRecord | None:
        """The agent of this name, if any."""
        with self._database.read() as session:
            return None if session.get(AgentRow, name) is None else _agent(session, name)

    def get(self, name: str) -> AgentRecord:
        """Raises AgentNotFoundError."""
        with self._database.read() as session:
            return _agent(session, name)

    def list(self, *, limit: int = 50, cursor: str | None = None) -> Page[AgentRecord]:
        """Agents by name. Raises InvalidCursorError and InvalidRecordError (limit)."""
        with self._database.read() as session:
            return BY_NAME.page(
                session,
                select(AgentRow),
                lambda row: agent_of(row, session.get_one(FingerprintRow, row.fingerprint)),
                limit=limit,
                cursor=cursor,
                filters={},
            )

    def seen(self, name: str) -> None:
        """Note that the agent was heard of now."""
        statement = update(AgentRow).where(AgentRow.name == name).values(last_seen_at=database_now())
        self._database.run_write(lambda session: session.execute(statement) and None)

    def quarantine(self, name: str, reason: str) -> AgentRecord:
        """Give the agent no more tasks. Raises AgentNotFoundError."""
        return self._change(
            name, AgentState.ACTIVE, state=AgentState.QUARANTINED.value, reason=clean_text(reason)
        )

    def lift(self, name: str) -> AgentRecord:
        """End a quarantine; of another agent it changes nothing. Raises AgentNotFoundError."""
        return self._change(name, AgentState.QUARANTINED, state=AgentState.ACTIVE.value, reason=None)

    def revoke(self, name: str) -> AgentRecord:
        """End the agent's token and its lease; a new code enrolls it again. Raises AgentNotFoundError."""

        def work(session: Session) -> AgentRecord:
            _agent(session, name)
            changed = update(AgentRow).where(AgentRow.name == name)
            session.execute(changed.values(state=AgentState.REVOKED.value, token_sha256=None, reason=None))
            drop_lease(session, name)
            return _agent(session, name)

        return self._database.run_write(work)

    def _change(self, name: str, source: AgentState, **values: str | None) -> AgentRecord:
        def work(session: Session) -> AgentRecord:
            _agent(session, name)
            statement = update(AgentRow).where(AgentRow.name == name, AgentRow.state == source)
            session.execute(statement.values(**values))
            return _agent(session, name)

        return self._database.run_write(work)


def drop_lease(session: Session, agent: str) -> None:
    """Make the task that the agent holds ready again; whoever holds it has lost it."""
    held = update(MeasurementTaskRow).where(
        MeasurementTaskRow.agent == agent, MeasurementTaskRow.state == TaskState.LEASED
    )
    session.execute(
        held.values(
            state=TaskState.READY.value,
            epoch=MeasurementTaskRow.epoch + 1,
            lease_expires_at=None,
            claim_id=None,
            updated_at=database_now(),
        )
    )


def _usable(code_sha256: str) -> Select[AgentCodeRow]:
    return select(AgentCodeRow).where(
        AgentCodeRow.code_sha256 == code_sha256,
        AgentCodeRow.used_at.is_(None),
        AgentCodeRow.expires_at > database_now(),
    )


def _check_free(session: Session, name: str) -> None:
    if session.get(AgentRow, name) is None and session.get(DeviceRow, name) is not None:
        raise AgentNameTakenError(f"a device {name!r} that is no agent exists; choose another name")


def _put(session: Session, description: Description, device: Device, token_sha256: str) -> None:
    """Insert or replace the rows of an agent and of its device."""
    insert_new(session, FingerprintRow, fingerprint_columns(device))
    new = {
        "description": asdict(description),
        "fingerprint": device.fingerprint,
        "token_sha256": token_sha256,
    }
    times = {"enrolled_at": database_now(), "last_seen_at": database_now()}
    state = {"name": device.name, "state": AgentState.ACTIVE.value}
    if not insert_new(session, AgentRow, {**state, **new, **times}):
        drop_lease(session, device.name)
        revived = case((AgentRow.state == AgentState.REVOKED, AgentState.ACTIVE.value), else_=AgentRow.state)
        changed = update(AgentRow).where(AgentRow.name == device.name)
        session.execute(changed.values(state=revived, **new, **times))
    registered = {"name": device.name, "fingerprint": device.fingerprint, "allowed_kinds": []}
    if not insert_new(session, DeviceRow, {**registered, "created_at": database_now()}):
        known = update(DeviceRow).where(DeviceRow.name == device.name)
        session.execute(known.values(fingerprint=device.fingerprint))


def _agent(session: Session, name: str) -> AgentRecord:
    row = session.get(AgentRow, name, populate_existing=True)
    if row is None:
        raise AgentNotFoundError(f"no agent {name!r}")
    return agent_of(row, session.get_one(FingerprintRow, row.fingerprint))
