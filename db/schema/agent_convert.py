"""Rows of agents and measurement tasks to records and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from db.remote.records import AgentRecord, AgentState, Candidate, MeasurementTask, NewTask, TaskState
from db.schema.agent_rows import AgentRow, MeasurementTaskRow
from db.schema.convert import named_device
from db.schema.registry_rows import FingerprintRow
from predictors.agent.wire import Description
from predictors.protocol import MeasurementProtocol
from searchspaces.space import Arch


def agent_of(row: AgentRow, fingerprint: FingerprintRow) -> AgentRecord:
    """The agent of two rows."""
    return AgentRecord(
        name=row.name,
        description=Description(**row.description),
        device=named_device(row.name, fingerprint),
        state=AgentState(row.state),
        reason=row.reason,
        enrolled_at=row.enrolled_at,
        last_seen_at=row.last_seen_at,
    )


def task_columns(task: NewTask) -> dict[str, Any]:
    """The columns of a new task."""
    return {
        "id": task.id,
        "job_id": task.job_id,
        "agent": task.agent,
        "fingerprint": task.fingerprint,
        "protocol": asdict(task.protocol),
        "candidates": [_candidate_json(candidate) for candidate in task.candidates],
        "references": list(task.references),
        "state": TaskState.READY.value,
        "epoch": 0,
        "attempts": 0,
        "progress": {},
    }


def task_of(row: MeasurementTaskRow) -> MeasurementTask:
    """The task of a row."""
    return MeasurementTask(
        id=row.id,
        job_id=row.job_id,
        agent=row.agent,
        fingerprint=row.fingerprint,
        protocol=MeasurementProtocol(**row.protocol),
        candidates=tuple(map(_candidate_of, row.candidates)),
        references=tuple(row.references),
        state=TaskState(row.state),
        epoch=row.epoch,
        attempts=row.attempts,
        leased_at=row.leased_at,
        progress=row.progress,
        result=row.result,
        error=row.error,
        updated_at=row.updated_at,
    )


def _candidate_json(candidate: Candidate) -> dict[str, Any]:
    return {"space": candidate.arch.space, "genes": list(candidate.arch.genes), "sha256": candidate.sha256}


def _candidate_of(value: Mapping[str, Any]) -> Candidate:
    return Candidate(Arch(value["space"], tuple(value["genes"])), value["sha256"])
