"""Refinement: at fixed points of a study its device measures what may be on the front, and is predicted anew.

The points are shares of the budget, so a study that goes on after a crash refines where it would
have. The new predictor is stored, with the trial from which it counts, before any arch is asked by
it; measurements that cannot be had leave the old one in place, with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from db.records import Job
from db.study_inputs import Refinement
from nas.answers.missing import possible_gains
from nas.pareto import is_feasible
from nas.types import Study, Trial, TrialState
from predictors.latency_files import AnyLatencyPredictor
from searchspaces.space import Arch
from service.jobs.context import JobContext
from service.jobs.inputs import Trained
from service.jobs.profile import Measured, fit_predictor
from service.jobs.searching.begin import load_predictor
from service.jobs.searching.measuring import NOT_NOW, measure_for_search

SHARES = (1 / 3, 2 / 3)  # of the budget, after which there is a refinement


@dataclass(frozen=True, slots=True)
class FixedPoint:
    """After ``n_trials`` trials of a study ``n_measurements`` of its subnets are measured."""

    n_trials: int
    n_measurements: int


def fixed_points(budget: int, batch_size: int, n_measurements: int) -> list[FixedPoint]:
    """Where a study is refined: whole batches, below the budget, each with its part of the measurements."""
    ends = {math.ceil(budget * share / batch_size) * batch_size for share in SHARES}
    within = sorted(end for end in ends if end < budget)[:n_measurements]
    whole, more = divmod(n_measurements, max(1, len(within)))
    return [FixedPoint(end, whole + (index < more)) for index, end in enumerate(within)]


def due_points(job: Job, study: Study, context: JobContext) -> list[FixedPoint]:
    """The fixed points that the study has not passed yet. What was asked already is not refined."""
    points = fixed_points(study.budget, study.batch_size, job.payload.get("refine", 0))
    if not points:
        return []
    refined = {refinement.first_number for refinement in context.stores.inputs.refinements(study.id)}
    n_asked = len(context.stores.studies.list_trials(study.id))
    return [point for point in points if point.n_trials not in refined and n_asked <= point.n_trials]


def predictor_of(study: Study, context: JobContext) -> str | None:
    """The id of the predictor that the study's next trials have their latency from."""
    refinements = context.stores.inputs.refinements(study.id)
    return refinements[-1].predictor if refinements else study.predictor


def refine(job: Job, study: Study, point: FixedPoint, trained: Trained, context: JobContext) -> None:
    """Measure, fit and store which predictor takes over after ``point``."""
    before = predictor_of(study, context)
    predictor = load_predictor(before, trained.supernet.space, context)
    assert before is not None  # a search without latency has no refinement
    assert predictor is not None
    device, stores = predictor.device, context.stores
    known = {s.arch for s in stores.devices.list_samples(trained.record.name, device.fingerprint)}
    trials = [t for t in stores.studies.list_trials(study.id) if t.evaluation.arch not in known]
    archs = promising(study, trials, predictor)[: point.n_measurements]
    try:
        after = _refitted(f"{job.id}-{point.n_trials}", predictor, trained, archs, job, context)
    except NOT_NOW as error:
        context.log(f"no refinement after {point.n_trials} trials: {error}")
        stores.inputs.refine(study.id, Refinement(point.n_trials, before, 0, str(error)))
    else:
        refinement = Refinement(point.n_trials, after or before, len(archs), None if archs else NONE_LEFT)
        stores.inputs.refine(study.id, refinement)


NONE_LEFT = "no subnet that was not measured yet may be on the front"


def promising(study: Study, trials: Sequence[Trial], predictor: AnyLatencyPredictor) -> list[Arch]:
    """Archs of complete, feasible trials that may be on the front, most promising first.

    Those that would add most hypervolume at the low ends of their intervals: on or near the front,
    with wide intervals.
    """
    sound = [
        trial.evaluation
        for trial in trials
        if trial.state is TrialState.COMPLETE and is_feasible(trial.evaluation, study.constraints)
    ]
    if not sound:
        return []
    archs = [evaluation.arch for evaluation in sound]
    latency = predictor.predict(archs)
    top1 = np.array([evaluation.values["top1"] for evaluation in sound])
    gains = possible_gains(top1, latency.mean, np.minimum(latency.low, latency.mean))
    return [archs[row] for row in np.argsort(-gains, kind="stable").tolist() if gains[row] > 0]


def _refitted(
    campaign_id: str,
    predictor: AnyLatencyPredictor,
    trained: Trained,
    archs: Sequence[Arch],
    job: Job,
    context: JobContext,
) -> str | None:
    """The id of ``predictor`` fitted to all samples of its device, those of ``archs`` new; None without."""
    if not archs:
        return None
    campaign = measure_for_search(campaign_id, predictor.device, trained, archs, job, context)
    samples = context.stores.devices.list_samples(trained.record.name, predictor.device.fingerprint)
    measured = Measured(predictor.device, campaign, samples)
    return fit_predictor(predictor, trained, measured, samples, context).id
