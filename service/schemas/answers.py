"""Wire models of what a study's evaluations say about it."""

from __future__ import annotations

from service.schemas.base import Answer
from service.schemas.results import ConstraintAnswer, ObjectiveAnswer


class TrendAnswer(Answer):
    """Hypervolume over evaluations: ``points`` are (evaluations, hypervolume), the last one the present.

    ``recent_gain`` is what the last quarter of the evaluations added, as a share of the present.
    """

    points: list[tuple[int, float]]
    recent_gain: float
    hypervolume: float


class OutlookAnswer(Answer):
    """What the guided searcher expects of ``n_archs`` further evaluations.

    ``expected_gain`` is the expected growth of the hypervolume, as a share, on the searcher's
    scales; null where too little is evaluated to tell.
    """

    n_archs: int
    expected_gain: float | None
    pays: bool | None


class ConstraintEffectAnswer(Answer):
    """What one constraint does: the shares of evaluated subnets that it excludes, and excludes alone.

    Without it ``new_members`` evaluated subnets would join the front, which would grow by at least
    ``hypervolume_gain`` as a share (null where there is no front yet).
    """

    constraint: ConstraintAnswer
    excluded: float
    excluded_alone: float
    new_members: int
    hypervolume_gain: float | None
    binds: bool


class LayerAnswer(Answer):
    """What a layer adds to the predicted latency; a term of a fitted sum, perhaps negative."""

    slot: str
    kind: str
    latency_ms: float


class MillisecondsAnswer(Answer):
    """Where the predicted milliseconds of a front member go; ``base_ms`` are due to no layer."""

    number: int
    arch_key: str
    latency_ms: float
    base_ms: float
    layers: list[LayerAnswer]


class CurveAnswer(Answer):
    """A searcher of a race: hypervolume after so many subnets of its own, over its seeds.

    ``hypervolume`` is the median over ``n_seeds`` seeds, ``low`` and ``high`` the least and the most.
    """

    searcher: str
    n_seeds: int
    evaluations: list[int]
    hypervolume: list[float]
    low: list[float]
    high: list[float]


class RefinementAnswer(Answer):
    """Trials from ``first_number`` on have their latency from ``predictor``.

    ``n_measured`` subnets were measured for it; ``reason`` says why it is still the one before.
    """

    first_number: int
    predictor: str
    n_measured: int
    reason: str | None


class StudyAnswers(Answer):
    """What is known of a study. ``warnings`` say what could not be answered, and why.

    ``n_learned`` trials of earlier studies were what its searcher started from.
    """

    study: str
    objectives: list[ObjectiveAnswer]
    n_trials: int
    n_failed: int
    budget: int
    front_size: int
    measured_share: float
    trend: TrendAnswer
    outlook: OutlookAnswer
    constraints: list[ConstraintEffectAnswer]
    milliseconds: list[MillisecondsAnswer]
    race: list[CurveAnswer]
    n_learned: int
    refinements: list[RefinementAnswer]
    warnings: list[str]
