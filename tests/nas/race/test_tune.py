"""A race under Ray Tune has the result of one without it, and takes it up after a kill."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
import ray

from nas.errors import EvaluatorError
from nas.evaluate.evaluator import SLOT
from nas.evaluate.inline_pool import InlinePool
from nas.memory_store import InMemoryStore
from nas.race.tune import run_race_on_tune
from nas.search.random import RandomSearcher
from nas.search.searcher import Searcher
from nas.types import Study
from searchspaces.space import Arch
from tests.contracts.toy import OBJECTIVES, ToyEvaluator
from tests.nas.race.test_race import BAD, SPACE, CrashError, CrashingStore, a_race, fresh, run, trials_of

pytestmark = pytest.mark.ray
RACE = a_race(("random", "nsga2", "local"), budget=24, batch_size=8)


@pytest.fixture(scope="module", autouse=True)
def one_ray() -> Iterator[None]:
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "error"}
    ray.init("local", num_cpus=1, resources={SLOT: 1}, **quiet)
    yield
    ray.shutdown()


class BrokenSearcher(RandomSearcher):
    """Cannot ask."""

    def ask(self, n: int, pending: Sequence[Arch] = ()) -> list[Arch]:  # type: ignore[override]
        raise ZeroDivisionError("no archs today")


def broken(study: Study) -> Searcher:
    return BrokenSearcher(SPACE, OBJECTIVES, seed=study.seed)


def test_tune_changes_nothing_and_a_killed_race_goes_on() -> None:
    whole, store = InMemoryStore(), CrashingStore(10, after=True)
    expected = run(RACE, whole)
    pool = InlinePool(ToyEvaluator(SPACE, BAD))
    with pytest.raises(CrashError):
        run_race_on_tune(RACE, fresh, pool, store, slots=1)
    assert run_race_on_tune(RACE, fresh, pool, store, slots=1) == expected
    assert trials_of(store, RACE) == trials_of(whole, RACE)
    assert run_race_on_tune(RACE, fresh, pool, store, slots=1) == expected
    assert ray.is_initialized()


@pytest.mark.slow
def test_a_searcher_that_fails_is_named() -> None:
    pool = InlinePool(ToyEvaluator(SPACE, BAD))
    with pytest.raises(EvaluatorError, match="ZeroDivisionError: no archs today"):
        run_race_on_tune(RACE, broken, pool, InMemoryStore(), slots=1)
