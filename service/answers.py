"""Answers about a study, composed from its stored trials; loads neither torch nor ray."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from db.study_inputs import Refinement
from nas.answers.constraints import ConstraintEffect, constraint_effects
from nas.answers.outlook import Outlook, outlook
from nas.answers.trend import Trend, trend
from nas.evaluate.joint import CostEvaluator, LatencyEvaluator
from nas.evaluate.known import ExactPredictor
from nas.race.curves import Curve, curve_of
from nas.search.knowledge import Hint, Knowledge
from nas.types import Evaluation, Study, Trial, TrialState
from predictors.errors import CorruptFitError
from predictors.latency import LatencyPredictor, LayerLatency
from predictors.latency_files import AnyLatencyPredictor, load_latency
from predictors.predictor import Predictor
from searchspaces.registry import get_space
from searchspaces.space import SearchSpace
from service.hints import hints_in
from service.stores import Stores


@dataclass(frozen=True, slots=True)
class Milliseconds:
    """Where the predicted milliseconds of a front member go."""

    number: int
    arch_key: str
    latency_ms: float
    base_ms: float
    layers: tuple[LayerLatency, ...]


@dataclass(frozen=True, slots=True)
class Answers:
    """See service.schemas.answers.StudyAnswers."""

    study: Study
    n_trials: int
    n_failed: int
    front_size: int
    measured_share: float
    trend: Trend
    outlook: Outlook
    constraints: tuple[ConstraintEffect, ...]
    milliseconds: tuple[Milliseconds, ...]
    race: tuple[Curve, ...]
    n_learned: int
    refinements: tuple[Refinement, ...]
    warnings: tuple[str, ...]


def answers(study_id: str, stores: Stores) -> Answers:
    """All answers about a study. Raises StudyNotFoundError."""
    study = stores.studies.get_study(study_id)
    space = get_space(study.space.partition("@")[0])
    evaluations = _finished(stores, study_id)
    front = stores.studies.front(study_id)
    shown = stores.studies.fronts(study=study_id)
    predictor, warnings = _predictor(study, space, stores)
    hints, missing = _hints(study, space, stores)
    known = replace(_known(study, space, predictor, stores), hints=hints)
    divided, reasons = _dividing(predictor)
    return Answers(
        study=study,
        n_trials=len(evaluations),
        n_failed=sum(evaluation.error is not None for evaluation in evaluations),
        front_size=len(front),
        measured_share=sum(p.latency_source == "measured" for p in shown) / max(1, len(shown)),
        trend=trend(evaluations, study.objectives, study.constraints),
        outlook=outlook(
            space, evaluations, study.objectives, study.constraints, known=known, n_archs=study.batch_size
        ),
        constraints=constraint_effects(evaluations, study.objectives, study.constraints),
        milliseconds=() if divided is None else tuple(_milliseconds(trial, divided) for trial in front),
        race=_race(study_id, stores),
        n_learned=len(stores.inputs.learned(study_id)),
        refinements=tuple(stores.inputs.refinements(study_id)),
        warnings=warnings + reasons + missing,
    )


def _finished(stores: Stores, study_id: str) -> list[Evaluation]:
    trials = stores.studies.list_trials(study_id)
    return [trial.evaluation for trial in trials if trial.state is not TrialState.RUNNING]


def _predictor(
    study: Study, space: SearchSpace, stores: Stores
) -> tuple[AnyLatencyPredictor | None, tuple[str, ...]]:
    """The latency predictor of the study's last trials, or why there is none."""
    refinements = stores.inputs.refinements(study.id)
    predictor_id = refinements[-1].predictor if refinements else study.predictor
    if predictor_id is None:
        return None, ("the study has no latency predictor, so milliseconds are not divided over layers",)
    record = stores.devices.get_predictor(predictor_id)
    try:
        return load_latency(Path(record.folder), space), ()
    except CorruptFitError as error:
        return None, (f"the study's latency predictor cannot be read: {error}",)


def _hints(study: Study, space: SearchSpace, stores: Stores) -> tuple[tuple[Hint, ...], tuple[str, ...]]:
    """What the search learned from beside evaluations, or why that is not known."""
    if study.supernet is None:
        return (), ()
    supernet = stores.supernets.get(study.supernet)
    try:
        return hints_in(Path(supernet.folder), space, supernet.digest), ()
    except CorruptFitError as error:
        return (), (f"the effects of the supernet's choices cannot be read: {error}",)


def _dividing(predictor: AnyLatencyPredictor | None) -> tuple[LatencyPredictor | None, tuple[str, ...]]:
    """The predictor if it divides milliseconds over layers, or why not."""
    if predictor is None or isinstance(predictor, LatencyPredictor):
        return predictor, ()
    return None, (
        "the latency predictor rests on other devices, and does not divide milliseconds over layers",
    )


def _known(
    study: Study, space: SearchSpace, predictor: AnyLatencyPredictor | None, stores: Stores
) -> Knowledge:
    """The study's metrics that cost no evaluation, as in its search."""
    known: dict[str, Predictor] = {}
    if study.supernet is not None:
        supernet = stores.supernets.get(study.supernet)
        costs = CostEvaluator(space, in_channels=supernet.in_channels, n_classes=supernet.n_classes)
        known |= {metric: ExactPredictor(costs, metric) for metric in costs.metrics}
    if predictor is not None:
        latency = LatencyEvaluator(predictor)
        known |= {metric: ExactPredictor(latency, metric) for metric in latency.metrics}
        known["latency_ms"] = predictor
    asked = [o.metric for o in study.objectives] + [c.metric for c in study.constraints]
    return Knowledge({metric: known[metric] for metric in asked if metric in known})


def _milliseconds(trial: Trial, predictor: LatencyPredictor) -> Milliseconds:
    arch = trial.evaluation.arch
    layers, base = predictor.by_layer(arch)
    total = float(predictor.predict([arch]).mean[0])
    return Milliseconds(trial.number, arch.key, total, base, layers)


def _race(study_id: str, stores: Stores) -> tuple[Curve, ...]:
    """The curves of a race's searchers, in the order in which the racers were stored."""
    racers = _racers(study_id, stores)
    points = {
        racer.id: trend(_finished(stores, racer.id), racer.objectives, racer.constraints).points
        for racer in racers
    }
    return tuple(
        curve_of(name, [points[racer.id] for racer in racers if racer.searcher == name])
        for name in dict.fromkeys(racer.searcher for racer in racers)
    )


def _racers(study_id: str, stores: Stores) -> Sequence[Study]:
    return stores.studies.list_studies(race=study_id, limit=1000).items[::-1]
