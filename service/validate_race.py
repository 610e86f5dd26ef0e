"""Checks of the race of a search job, and of its refinement."""

from __future__ import annotations

from collections.abc import Iterator

from nas.race.race import Race, make_race
from nas.search.registry import SEARCHERS
from nas.types import Study
from service.errors import FieldError
from service.schemas.base import NAME_LENGTH
from service.schemas.jobs import SearchJob
from service.stores import Stores


def check_race(job: SearchJob, stores: Stores) -> Iterator[FieldError]:
    """What is wrong with the fields ``race``, ``repeats``, and with others because of them."""
    names = job.race
    if names is None:
        if job.repeats != 1:
            yield FieldError("#/repeats", "counts the seeds of each searcher of a race; give race too")
        return
    sound = True
    for index, name in enumerate(names):
        if name not in SEARCHERS:
            yield FieldError(f"#/race/{index}", f"no searcher {name!r}; there are {', '.join(SEARCHERS)}")
        elif name in names[:index]:
            yield FieldError(f"#/race/{index}", f"{name!r} is named twice; each searcher may run once")
        else:
            continue
        sound = False
    n_racers = len(names) * job.repeats
    if job.budget < n_racers:
        yield FieldError("#/budget", f"must be at least 1 for each of {n_racers} racers; got {job.budget}")
    elif sound and job.study is not None:
        yield from _study(job, _race(job, job.study, names), stores)


def check_refine(job: SearchJob) -> Iterator[FieldError]:
    """What is wrong with ``refine``: it needs accuracy and latency, one searcher and two batches."""
    if job.refine == 0:
        return
    if job.race is not None:
        yield FieldError("#/refine", "must be 0 in a race, whose searchers share one predictor")
    missing = {"top1", "latency_ms"} - {objective.metric for objective in job.objectives}
    if missing:
        yield FieldError("#/refine", f"needs the objective {min(missing)!r}")
    if job.budget <= job.batch_size:
        yield FieldError(
            "#/refine", f"needs a budget above batch_size {job.batch_size}; got budget {job.budget}"
        )


def _race(job: SearchJob, study_id: str, names: list[str]) -> Race:
    """The race as far as the ids of its studies go."""
    study = Study(study_id, "", (), "", job.budget, job.seed, job.batch_size)
    return make_race(study, names, job.repeats)


def _study(job: SearchJob, race: Race, stores: Stores) -> Iterator[FieldError]:
    if longest := max(
        (racer.id for racer in race.racers if len(racer.id) > NAME_LENGTH), key=len, default=""
    ):
        yield FieldError(
            "#/study", f"too long: {longest!r} would name a racer; at most {NAME_LENGTH} characters"
        )
        return
    stored = stores.studies.list_studies(race=job.study, limit=1000).items
    if stored and {study.id for study in stored} != {racer.id for racer in race.racers}:
        yield FieldError("#/study", f"there is a race {job.study!r} of other searchers; choose another name")
