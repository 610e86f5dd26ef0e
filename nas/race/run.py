"""run_race: a race whose searchers ask in the calling thread, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nas.evaluate.evaluator import EvaluationPool
from nas.race.course import Course, RaceProgress
from nas.race.curves import Curve
from nas.race.race import Race
from nas.search.searcher import Searcher
from nas.store import StudyStore
from nas.study import ask_exactly, check_outcome
from nas.types import Study


@dataclass(frozen=True, slots=True)
class RaceResult:
    """How a race ended; ``hypervolumes`` are (evaluations paid, hypervolume of the union), one per round."""

    n_trials: int
    n_failed: int
    exhausted: bool
    stopped: bool
    hypervolumes: tuple[tuple[int, float], ...]
    curves: tuple[Curve, ...]


def run_race(
    race: Race,
    make_searcher: Callable[[Study], Searcher],
    pool: EvaluationPool,
    store: StudyStore,
    *,
    report: Callable[[RaceProgress], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> RaceResult:
    """Run a race to its budget, from wherever the store says it is.

    ``make_searcher`` gives the searcher of a racer's study, with an empty history. Raises what
    ``run_study`` raises.
    """
    course = Course(race, pool, store, report=report, should_stop=should_stop)
    searchers = [make_searcher(study) for study in race.racers]
    n_told = [0] * len(searchers)
    while requests := course.requests():
        asked = {}
        for request in requests:
            searcher = searchers[request.racer]
            searcher.tell(course.told(request.racer, n_told[request.racer]))
            n_told[request.racer] = request.n_told
            asked[request.racer] = ask_exactly(searcher, request.n_archs)
        course.settle(asked)
    return result_of(race, course)


def result_of(race: Race, course: Course) -> RaceResult:
    """How a course that is over ended; raises EvaluatorError or InfeasibleError if it found nothing."""
    union = course.union
    if not course.stopped:
        check_outcome(race.study, union.told)
    failed = sum(evaluation.error is not None for evaluation in union.told)
    return RaceResult(
        len(union.told), failed, course.exhausted, course.stopped, tuple(union.points), course.curves()
    )
