"""Warm start: what a study learns from the studies before it, chosen before its first trial and stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from db.evaluations import EvaluatedArch
from db.records import Job
from nas.evaluate.evaluator import PROTOCOL
from nas.search.guided.surrogate import MODEL_POINTS, model_points
from nas.types import Evaluation, Study
from predictors.predictor import Predictor
from service.jobs.context import JobContext

SCANNED = 5_000  # newest evaluated archs that are looked at: predicting their latencies takes seconds
LEARNED = MODEL_POINTS  # of them that are learned from: as many as a surrogate takes into account at once


def warm_start(
    job: Job, study: Study, known: Mapping[str, Predictor], protocol: float, context: JobContext
) -> list[Evaluation]:
    """Evaluations of earlier studies of the supernet under the same ``protocol``; none if the job says so.

    At most LEARNED: half are the best by Pareto rank in this study's objectives, with ``known``
    metrics predicted for its device, the others lie evenly over the rest. They are chosen once: a
    study that has begun keeps what it began with.
    """
    inputs, evaluations = context.stores.inputs, context.stores.evaluations
    assert study.supernet is not None  # of a search job
    if job.payload.get("warm_start", True) and not inputs.is_begun(study.id):
        earlier = evaluations.newest(study.supernet, where=(PROTOCOL, protocol), limit=SCANNED)
        inputs.learn(study.id, _chosen(study, earlier, known))
    return [Evaluation(one.arch, one.values) for one in inputs.learned(study.id)]


def _chosen(
    study: Study, earlier: Sequence[EvaluatedArch], known: Mapping[str, Predictor]
) -> list[EvaluatedArch]:
    """At most LEARNED of these, in their order."""
    if len(earlier) <= LEARNED:
        return list(earlier)
    archs = [one.arch for one in earlier]
    columns = []
    for objective in study.objectives:
        metric = objective.metric
        if metric in known:
            values = known[metric].predict(archs).mean
        else:
            values = np.array([one.values[metric] for one in earlier])
        columns.append(objective.cost(1.0) * values)
    return [earlier[i] for i in model_points(np.stack(columns, axis=1))]
