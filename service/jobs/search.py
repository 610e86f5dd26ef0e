"""Search the Pareto front of a supernet's subnets on a device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from db.records import Job
from nas.race.run import RaceResult
from nas.search.knowledge import Knowledge
from nas.search.registry import get_searcher
from nas.search.relabel import RelabellingSearcher
from nas.study import StudyProgress, StudyResult, run_study
from nas.types import Study
from service.errors import JobStoppedError
from service.hints import hints_in
from service.jobs.accuracy import is_predicted
from service.jobs.context import JobContext
from service.jobs.inputs import open_supernet
from service.jobs.race import curves_of, is_race, race
from service.jobs.searching.begin import load_predictor, study_of
from service.jobs.searching.evaluation import OnImages, Predicted, known_metrics, on_images, predicted
from service.jobs.searching.finish import measure_front, score_front
from service.jobs.searching.refine import due_points, predictor_of, refine
from service.jobs.searching.warm_start import warm_start


def run(job: Job, context: JobContext) -> Mapping[str, Any]:
    """Run the job's study to its budget, then test and measure the members of its front.

    Raises InfeasibleError, which names the constraint that nothing satisfies; JobStoppedError.
    """
    trained = open_supernet(job.payload["supernet"], context)
    study = study_of(job, trained.record, trained.supernet.space, context)
    data = trained.images(context) if trained.has_images or not is_predicted(job) else None
    if is_predicted(job):
        source: OnImages | Predicted = predicted(trained)
    else:
        assert data is not None
        source = on_images(trained, data)
    context.stores.studies.create_study(study)
    result = _searched(job, study, source, context)
    if result.stopped:
        raise JobStoppedError(f"stopped after {result.n_trials} of {study.budget} trials")
    front = context.stores.studies.front(study.id)
    if data is not None:
        score_front(study, front, trained, data, context)
    n_measured, not_measured = measure_front(job, study, front, trained, context)
    return {
        "study": study.id,
        "n_trials": result.n_trials,
        "n_failed": result.n_failed,
        "exhausted": result.exhausted,
        "front_size": len(front),
        "n_measured": n_measured,
        "not_measured": not_measured,
        "n_learned": len(context.stores.inputs.learned(study.id)),
        "refinements": [asdict(one) for one in context.stores.inputs.refinements(study.id)],
        "hypervolume": result.hypervolumes[-1][1] if result.hypervolumes else 0.0,
        "hypervolumes": [list(pair) for pair in result.hypervolumes],
        **curves_of(result),
    }


def _searched(
    job: Job, study: Study, source: OnImages | Predicted, context: JobContext
) -> StudyResult | RaceResult:
    """The search from one refinement to the next, and from the last one to the budget."""
    for point in due_points(job, study, context):
        result = _search(job, study, source, context, until=point.n_trials)
        if result.stopped or result.exhausted:
            return result
        refine(job, study, point, source.trained, context)
    return _search(job, study, source, context)


def _search(
    job: Job,
    study: Study,
    source: OnImages | Predicted,
    context: JobContext,
    until: int | None = None,
) -> StudyResult | RaceResult:
    """Search on workers that end with it: nothing else runs beside a measurement."""
    space = source.trained.supernet.space
    latency = load_predictor(predictor_of(study, context), space, context)
    predictors = known_metrics(study, source, latency)
    record = source.trained.record
    known = Knowledge(predictors, hints=hints_in(Path(record.folder), space, record.digest))
    if source.protocol is not None:
        known = replace(known, evaluations=warm_start(job, study, predictors, source.protocol, context))
    pool = source.pool(latency, context)
    try:
        if is_race(job):
            return race(job, study, space, known, pool, context)
        searcher = get_searcher(study.searcher)(
            space, study.objectives, constraints=study.constraints, known=known, seed=study.seed
        )
        if context.stores.inputs.refinements(study.id):
            searcher = RelabellingSearcher(searcher, predictors)
        return run_study(
            study,
            searcher,
            pool,
            context.stores.studies,
            until=until,
            report=lambda progress: _report(context, progress),
            should_stop=context.should_stop,
        )
    finally:
        pool.close()


def _report(context: JobContext, progress: StudyProgress) -> None:
    context.report(
        "search",
        progress.n_trials,
        progress.budget,
        n_failed=progress.n_failed,
        front_size=progress.front_size,
        hypervolume=round(progress.hypervolume, 6),
    )
