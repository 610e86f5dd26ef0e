"""Device agents and their measurement tasks as plain data. Datetimes are timezone-aware UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from predictors.agent.wire import Description
from predictors.device import Device
from predictors.protocol import MeasurementProtocol
from searchspaces.space import Arch


class AgentState(StrEnum):
    """Whether an agent gets tasks."""

    ACTIVE = "active"
    QUARANTINED = "quarantined"
    REVOKED = "revoked"


class TaskState(StrEnum):
    """Where a measurement task is; the last three are final."""

    READY = "ready"
    LEASED = "leased"
    DONE = "done"
    SUSPECT = "suspect"  # has a result, which enters no fit
    DEAD = "dead"

    @property
    def is_final(self) -> bool:
        """Whether nothing changes the task any more."""
        return self not in (TaskState.READY, TaskState.LEASED)


@dataclass(frozen=True, slots=True)
class AgentRecord:
    """An enrolled machine; ``device`` is what it measures as, ``reason`` why it is quarantined."""

    name: str
    description: Description
    device: Device
    state: AgentState
    reason: str | None
    enrolled_at: datetime
    last_seen_at: datetime


@dataclass(frozen=True, slots=True)
class AgentCode:
    """What is known of a one-time code, which itself is not kept."""

    agent: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Candidate:
    """A subnet to be measured: its ONNX model by SHA-256."""

    arch: Arch
    sha256: str


@dataclass(frozen=True, slots=True)
class NewTask:
    """A measurement task to be queued."""

    id: str
    job_id: str
    agent: str
    fingerprint: str
    protocol: MeasurementProtocol
    candidates: tuple[Candidate, ...]
    references: tuple[str, ...]  # SHA-256 of each model


@dataclass(frozen=True, slots=True)
class MeasurementTask(NewTask):
    """A queued task. ``epoch`` grows with every lease and fences off earlier holders.

    A result was judged as the campaign of the same id.
    """

    state: TaskState
    epoch: int
    attempts: int
    leased_at: datetime | None
    progress: Mapping[str, Any]
    result: Mapping[str, Any] | None
    error: str | None
    updated_at: datetime = field(compare=False)
