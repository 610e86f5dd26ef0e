"""Wire models of what jobs leave behind: supernets, devices, studies, subnets, artifacts."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict

from service.schemas.base import Answer
from service.schemas.fidelity import FidelityAnswer
from service.schemas.fronts import FrontPointAnswer
from service.schemas.measurements import MeasurementAnswer


class ChoiceAnswer(Answer):
    """One decision of a space. ``active_if`` names the earlier choice and its values that activate it."""

    name: str
    values: list[int | float | str]
    active_if: dict[str, list[int | float | str]] | None


class SpaceSummary(Answer):
    """A search space; ``size`` is its exact number of archs, as text because it may be huge."""

    name: str
    id: str
    size: str
    n_choices: int


class SpaceAnswer(SpaceSummary):
    """A search space with its choices."""

    choices: list[ChoiceAnswer]


class SpaceList(Answer):
    """The built-in search spaces."""

    items: list[SpaceSummary]


class SupernetAnswer(Answer):
    """A trained supernet; ``fidelity`` is null until its ranking has been checked."""

    name: str
    space: str
    data: str
    n_classes: int
    in_channels: int
    resolution: int
    digest: str
    metrics: dict[str, float]
    fidelity: FidelityAnswer | None
    job_id: str | None
    created_at: datetime


class SupernetPage(Answer):
    """Supernets."""

    items: list[SupernetAnswer]
    next_cursor: str | None


class DeviceAnswer(Answer):
    """One way of running networks on one machine."""

    name: str
    hardware: str
    runtime: str
    runtime_version: str
    threads: int
    precision: str
    batch_size: int
    fingerprint: str
    created_at: datetime


class DevicePage(Answer):
    """Devices."""

    items: list[DeviceAnswer]
    next_cursor: str | None


class PredictorAnswer(Answer):
    """A predictor of ``metric`` (latency_ms, …) with its quality on held-out subnets."""

    id: str
    device: str
    fingerprint: str
    supernet: str
    space: str
    metric: str
    digest: str
    quality: dict[str, float]
    n_samples: int
    created_at: datetime


class PredictorPage(Answer):
    """Predictors, newest first."""

    items: list[PredictorAnswer]
    next_cursor: str | None


class SearcherList(Answer):
    """Names that a search job accepts as its searcher."""

    items: list[str]


class ObjectiveAnswer(Answer):
    """An objective of a study."""

    metric: str
    direction: str
    reference: float


class ConstraintAnswer(Answer):
    """A constraint of a study."""

    metric: str
    minimum: float | None
    maximum: float | None


class StudyAnswer(Answer):
    """One search; ``predictor`` is the id of the latency predictor that it began with.

    ``race`` is the id of the study that unites the race in which this one is a racer.
    """

    id: str
    space: str
    supernet: str | None
    device: str | None
    predictor: str | None
    objectives: list[ObjectiveAnswer]
    constraints: list[ConstraintAnswer]
    searcher: str
    budget: int
    batch_size: int
    seed: int
    race: str | None


class StudyPage(Answer):
    """Studies."""

    items: list[StudyAnswer]
    next_cursor: str | None


class TrialAnswer(Answer):
    """One evaluation of a study."""

    number: int
    state: Literal["running", "complete", "failed"]
    arch_key: str
    genes: list[int]
    values: dict[str, float]
    error: str | None


class TrialPage(Answer):
    """Trials by number."""

    items: list[TrialAnswer]
    next_cursor: str | None


class CostAnswer(Answer):
    """Closed-form cost of a subnet for one image."""

    params: int
    macs: int
    activations: int
    peak_memory_bytes: int


class SubnetAnswer(Answer):
    """One subnet: its values, its cost, what was measured of it, and where it is a member of a front."""

    id: str
    supernet: str
    space: str
    genes: list[int]
    values: dict[str, int | float | str]
    resolution: int
    cost: CostAnswer
    measurements: list[MeasurementAnswer]
    fronts: list[FrontPointAnswer]


class ArtifactAnswer(Answer):
    """A stored file."""

    sha256: str
    size: int
    media_type: str
    name: str
    job_id: str | None
    created_at: datetime


class ArtifactList(Answer):
    """Files that a job stored."""

    items: list[ArtifactAnswer]


class HealthAnswer(Answer):
    """Whether the process runs, or is ready to serve."""

    status: Literal["ok"]


class FieldErrorAnswer(Answer):
    """What is wrong with one field; ``pointer`` as a URI fragment, or ``#query/NAME`` for a parameter."""

    pointer: str
    detail: str


class Problem(Answer):
    """RFC 9457 problem document. Some problems have further members."""

    model_config = ConfigDict(frozen=True, extra="allow")

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    errors: list[FieldErrorAnswer] | None = None
    nearest: FrontPointAnswer | None = None
    constraint: dict[str, Any] | None = None
