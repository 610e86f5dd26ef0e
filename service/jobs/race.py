"""The race of a search job: several searchers on one supernet, device and budget."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from db.records import Job
from nas.evaluate.evaluator import EvaluationPool
from nas.race.course import RaceProgress
from nas.race.race import make_race
from nas.race.run import RaceResult
from nas.race.tune import run_race_on_tune
from nas.search.knowledge import Knowledge
from nas.search.registry import get_searcher
from nas.search.searcher import Searcher
from nas.types import Study
from searchspaces.space import SearchSpace
from service.jobs.context import JobContext


def is_race(job: Job) -> bool:
    """Whether a search job names several searchers."""
    return bool(job.payload.get("race"))


def race(
    job: Job,
    study: Study,
    space: SearchSpace,
    known: Knowledge,
    pool: EvaluationPool,
    context: JobContext,
) -> RaceResult:
    """Run the race whose common study is ``study``, from wherever the store says it is."""
    return run_race_on_tune(
        make_race(study, job.payload["race"], job.payload["repeats"]),
        partial(_searcher, space, known),
        pool,
        context.stores.studies,
        slots=os.cpu_count() or 1,
        address=context.settings.ray_address,
        report=lambda progress: _report(context, progress),
        should_stop=context.should_stop,
    )


def curves_of(result: object) -> Mapping[str, Any]:
    """What the result of a job holds of its race; nothing for a search by one searcher."""
    return {"race": [asdict(curve) for curve in result.curves]} if isinstance(result, RaceResult) else {}


def _searcher(space: SearchSpace, known: Knowledge, study: Study) -> Searcher:
    """The searcher of a racer; made in the processes that ask."""
    factory = get_searcher(study.searcher)
    return factory(space, study.objectives, constraints=study.constraints, known=known, seed=study.seed)


def _report(context: JobContext, progress: RaceProgress) -> None:
    study = progress.study
    context.report(
        "race",
        study.n_trials,
        study.budget,
        racing=", ".join(progress.racing),
        front_size=study.front_size,
        hypervolume=round(study.hypervolume, 6),
        n_failed=study.n_failed,
    )
