"""Wire models of device agents: operators' requests, and what agents and server say to each other."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from service.schemas.base import DIGEST_PATTERN, Answer, Name, Wire

MAX_TIME_MS = 3_600_000.0
MAX_BYTES = 2**50
MAX_ENERGY_MJ = 1e9
Epoch = Annotated[int, Field(ge=1, le=2**31 - 1)]
Text = Annotated[str, Field(min_length=1, max_length=1000)]
Time = Annotated[float, Field(gt=0, le=MAX_TIME_MS, description="ms")]
Times = Annotated[list[Time], Field(min_length=1, max_length=10_000)]
Index = Annotated[int, Field(ge=0, le=100_000)]
Resolution = Annotated[float, Field(gt=0, le=1e9)]


class CodeBody(Wire):
    """Let a machine become the agent of this name within ``ttl_s`` seconds."""

    name: Name
    ttl_s: float = Field(default=600.0, gt=0, le=7 * 86_400)


class DeviceBody(Wire):
    """What a machine says of itself; ``runtime_version`` is the library's."""

    hardware: str = Field(min_length=1, max_length=300)
    runtime: Literal["onnxruntime"]
    runtime_version: str = Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z.+_-]{0,99}$")
    threads: int = Field(ge=1, le=1024)
    precision: Literal["fp32"]
    batch_size: Literal[1]


class ClockBody(Wire):
    """The agent's date in seconds since 1970, and the resolution of the clocks that time networks."""

    sent_at: float = Field(ge=0, le=1e11)
    cpu_resolution_ns: Resolution
    wall_resolution_ns: Resolution


class EnrollBody(Wire):
    """A machine that trades a one-time code for a token."""

    device: DeviceBody
    clock: ClockBody


class LeaseBody(Wire):
    """An agent that asks for a task; the same ``claim_id`` again gets the same lease."""

    claim_id: str = Field(pattern=r"^[0-9a-f]{32}$")
    device: DeviceBody
    clock: ClockBody


class HeartbeatBody(Wire):
    """An agent that is at ``done`` of ``total`` steps of its task."""

    epoch: Epoch
    done: int = Field(ge=0, le=2**31 - 1)
    total: int = Field(ge=0, le=2**31 - 1)


class ReleaseBody(Wire):
    """An agent that gives its task back."""

    epoch: Epoch
    reason: Text


class QuantitiesBody(Wire):
    """What else was measured of a network; null where it was not asked for or cannot be measured."""

    file_size_bytes: Annotated[int, Field(ge=1, le=MAX_BYTES)] | None = None
    run_peak_memory_bytes: Annotated[int, Field(ge=1, le=MAX_BYTES)] | None = None
    energy_mj: Annotated[float, Field(gt=0, le=MAX_ENERGY_MJ)] | None = None


class TimesBody(Wire):
    """Raw times in ms of network ``index`` of the task, in the order taken."""

    index: Index
    cpu_ms: Times
    wall_ms: Times
    quantities: QuantitiesBody = QuantitiesBody()


class FailureBody(Wire):
    """A network that the device cannot run, and why."""

    index: Index
    reason: Text


class FinishBody(Wire):
    """The raw times of all networks of a task, of those measured twice, and of the references."""

    epoch: Epoch
    device: DeviceBody
    clock: ClockBody
    samples: list[TimesBody] = Field(max_length=2000)
    repeats: list[TimesBody] = Field(max_length=2000)
    references: list[TimesBody] = Field(max_length=100)
    failures: list[FailureBody] = Field(default_factory=list, max_length=2000)


class CodeAnswer(Answer):
    """A one-time code; it is shown this once."""

    name: str
    code: str
    expires_at: datetime


class AgentAnswer(Answer):
    """A machine that measures for this server; ``reason`` says why it is quarantined."""

    name: str
    state: Literal["active", "quarantined", "revoked"]
    reason: str | None
    hardware: str
    runtime: str
    runtime_version: str
    threads: int
    fingerprint: str
    enrolled_at: datetime
    last_seen_at: datetime


class AgentPage(Answer):
    """Agents by name."""

    items: list[AgentAnswer]
    next_cursor: str | None


class EnrolledAnswer(Answer):
    """The agent's own token; it is shown this once."""

    name: str
    token: str


class TaskAnswer(Answer):
    """A leased task: ONNX models by SHA-256, and how to measure them."""

    id: str
    epoch: int
    ttl_s: float
    protocol: dict[str, Any]
    candidates: list[Annotated[str, Field(pattern=DIGEST_PATTERN)]]
    references: list[Annotated[str, Field(pattern=DIGEST_PATTERN)]]


class LeaseAnswer(Answer):
    """The lease holds for ``ttl_s`` seconds from now."""

    ttl_s: float


class TaskStateAnswer(Answer):
    """What has become of a task; ``reason`` says why its result is suspect."""

    id: str
    state: Literal["ready", "leased", "done", "suspect", "dead"]
    reason: str | None
