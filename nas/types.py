"""Objective, Constraint, Evaluation, Trial, Study: the plain data of a search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from searchspaces.space import Arch


class Direction(StrEnum):
    """Whether less or more of a metric is better."""

    MINIMIZE = "minimize"
    MAXIMIZE = "maximize"


@dataclass(frozen=True, slots=True)
class Objective:
    """A metric to optimise; ``reference`` is the hypervolume reference in the metric's own unit."""

    metric: str
    direction: Direction
    reference: float

    def cost(self, value: float) -> float:
        """The value as a cost (lower is better): the only sign flip in the project."""
        return -value if self.direction is Direction.MAXIMIZE else value


@dataclass(frozen=True, slots=True)
class Constraint:
    """A metric must lie within [``minimum``, ``maximum``]; None leaves that side open."""

    metric: str
    minimum: float | None = None
    maximum: float | None = None

    def violation(self, value: float) -> float:
        """How far the value lies outside, in the metric's unit; 0 if it is allowed."""
        below = 0.0 if self.minimum is None else self.minimum - value
        above = 0.0 if self.maximum is None else value - self.maximum
        return max(0.0, below, above)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What one arch is worth: metric to value, or the reason why it has no values."""

    arch: Arch
    values: Mapping[str, float] = field(default_factory=dict)
    error: str | None = None


class TrialState(StrEnum):
    """State of a trial."""

    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Trial:
    """One evaluation of a study, numbered densely from 0 in the order asked."""

    number: int
    state: TrialState
    evaluation: Evaluation


@dataclass(frozen=True, slots=True)
class Study:
    """One search: what is optimised, by which searcher, with how many evaluations."""

    id: str
    space: str  # SearchSpace.id
    objectives: tuple[Objective, ...]  # order is meaning: column i of costs
    searcher: str
    budget: int
    seed: int
    batch_size: int = 20
    constraints: tuple[Constraint, ...] = ()
    supernet: str | None = None  # name of the supernet that estimates top1
    device: str | None = None  # name of the device of latency_ms
    predictor: str | None = None  # id of the predictor of latency_ms, the same one to the study's end
    race: str | None = None  # id of the study that unites the race in which this one is a racer
