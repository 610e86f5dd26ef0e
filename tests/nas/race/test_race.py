"""A race: one budget met exactly, every arch evaluated once, losers stopped, kills change nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.errors import ConfigError, EvaluatorError, InfeasibleError
from nas.evaluate.inline_pool import InlinePool
from nas.memory_store import InMemoryStore
from nas.pareto import pareto_front
from nas.race.course import RaceProgress
from nas.race.curves import curve_of
from nas.race.race import Race, Rungs, make_race, survivors
from nas.race.run import RaceResult, run_race
from nas.search.registry import get_searcher
from nas.search.searcher import Searcher
from nas.types import Constraint, Evaluation, Study, Trial
from searchspaces.space import Arch
from tests.contracts.toy import LIMIT, ToyEvaluator, toy_space, toy_study

SPACE = toy_space(4)
BAD = frozenset(arch.key for arch in list(SPACE.archs())[::11])
STEADY = settings(deadline=None, derandomize=True, max_examples=25)  # shared machines stall
NAMES = ("random", "nsga2", "local", "ageing")


class CountingEvaluator(ToyEvaluator):
    """Counts how often each arch is evaluated."""

    def __init__(self) -> None:
        super().__init__(SPACE, BAD)
        self.counts: Counter[Arch] = Counter()

    def evaluate(self, archs: Sequence[Arch]) -> list[Evaluation]:
        self.counts.update(archs)
        return super().evaluate(archs)


class CrashError(RuntimeError):
    """The process dies here."""


class CrashingStore(InMemoryStore):
    """Dies at its n-th write, before or after it."""

    def __init__(self, step: int, *, after: bool) -> None:
        super().__init__()
        self.left, self.after = step, after

    def start_trials(self, study_id: str, archs: Sequence[Arch]) -> list[Trial]:
        self._die(after=False)
        trials = super().start_trials(study_id, archs)
        self._die(after=True)
        return trials

    def finish_trials(self, study_id: str, evaluations: Mapping[int, Evaluation]) -> list[Trial]:
        self._die(after=False)
        trials = super().finish_trials(study_id, evaluations)
        self._die(after=True)
        return trials

    def _die(self, *, after: bool) -> None:
        if after == self.after:
            self.left -= 1
            if self.left == 0:
                raise CrashError


def fresh(study: Study) -> Searcher:
    factory = get_searcher(study.searcher)
    return factory(SPACE, study.objectives, constraints=study.constraints, seed=study.seed)


def a_race(names: Sequence[str] = NAMES, repeats: int = 1, **changes: object) -> Race:
    return make_race(toy_study("r", **{"budget": 60, "batch_size": 6, **changes}), names, repeats)


def trials_of(store: InMemoryStore, race: Race) -> list[list[Trial]]:
    return [store.list_trials(study.id) for study in (race.study, *race.racers)]


def run(race: Race, store: InMemoryStore, evaluator: ToyEvaluator | None = None) -> RaceResult:
    return run_race(race, fresh, InlinePool(evaluator or ToyEvaluator(SPACE, BAD)), store)


@pytest.mark.parametrize("budget", [4, 7, 31, 60, 100])
@pytest.mark.parametrize("batch_size", [1, 6, 50])
def test_the_budget_is_met_exactly_and_every_arch_evaluated_once(budget: int, batch_size: int) -> None:
    race, store, evaluator = (
        a_race(budget=budget, batch_size=batch_size),
        InMemoryStore(),
        CountingEvaluator(),
    )
    result = run(race, store, evaluator)
    union, *racers = trials_of(store, race)
    assert result.n_trials == len(union) == budget
    assert set(evaluator.counts.values()) == {1}
    assert evaluator.counts.total() == budget
    asked = {trial.evaluation.arch for trials in racers for trial in trials}
    assert asked == {trial.evaluation.arch for trial in union}
    for trials in racers:
        archs = [trial.evaluation.arch for trial in trials]
        assert len(set(archs)) == len(archs)


def test_what_one_racer_evaluated_is_free_for_the_others() -> None:
    race, store = a_race(("random", "local"), repeats=2, budget=120, batch_size=10), InMemoryStore()
    run(race, store)
    union, *racers = trials_of(store, race)
    assert sum(map(len, racers)) > len(union)
    values = {trial.evaluation.arch: trial.evaluation for trial in union}
    assert all(values[t.evaluation.arch] == t.evaluation for trials in racers for t in trials)


def test_losers_are_stopped_and_the_best_runs_on() -> None:
    race, store = a_race(budget=90), InMemoryStore()
    result = run(race, store)
    dropped = [curve for curve in result.curves if curve.dropped_after is not None]
    winner = next(curve for curve in result.curves if curve.dropped_after is None)
    assert len(dropped) == len(NAMES) - 1
    for curve in dropped:
        assert curve.evaluations[-1] == curve.dropped_after < winner.evaluations[-1]
        at = winner.evaluations.index(curve.evaluations[-1])
        first = min(other.dropped_after or 0 for other in dropped)
        if curve.dropped_after == first:  # nobody who was stopped first was ahead of the winner then
            assert curve.hypervolume[-1] <= winner.hypervolume[at]
    assert {study.id: len(t) for study, t in zip(race.racers, trials_of(store, race)[1:], strict=True)} == {
        f"r.{curve.searcher}": curve.evaluations[-1] for curve in result.curves
    }


def test_the_front_is_that_of_the_union() -> None:
    race, store = a_race(constraints=(LIMIT,)), InMemoryStore()
    result = run(race, store)
    racers = trials_of(store, race)[1:]
    everything = {t.evaluation.arch: t.evaluation for trials in racers for t in trials}
    expected = pareto_front(list(everything.values()), race.study.objectives, race.study.constraints)
    found = [trial.evaluation for trial in store.front(race.study.id)]
    assert {e.arch for e in found} == {e.arch for e in expected}
    volumes = [volume for _, volume in result.hypervolumes]
    assert volumes == sorted(volumes)
    assert volumes[-1] >= max(curve.hypervolume[-1] for curve in result.curves)


def test_a_kill_at_any_write_changes_nothing() -> None:
    race, whole = a_race(("random", "nsga2", "local"), budget=24, batch_size=4), InMemoryStore()
    expected = run(race, whole)
    for after in (False, True):
        for step in count(1, 2):
            store, evaluator = CrashingStore(step, after=after), CountingEvaluator()
            try:
                run(race, store, evaluator)
            except CrashError:
                assert run(race, store, evaluator) == expected
                assert trials_of(store, race) == trials_of(whole, race)
                continue
            break
        assert step > 30


def test_stopping_keeps_what_is_done() -> None:
    race, whole, store = a_race(), InMemoryStore(), InMemoryStore()
    expected = run(race, whole)
    for limit in (0, 5, 20, 60):
        seen: list[RaceProgress] = []
        result = run_race(
            race,
            fresh,
            InlinePool(ToyEvaluator(SPACE, BAD)),
            store,
            report=seen.append,
            should_stop=lambda: limit < 60 and (seen[-1].study.n_trials if seen else 0) >= limit,  # noqa: B023
        )
        assert result.stopped == (limit < 60)
    assert result == expected
    assert trials_of(store, race) == trials_of(whole, race)


def test_a_space_smaller_than_the_budget_is_exhausted() -> None:
    small = toy_space(1)
    race = make_race(toy_study("r", budget=100, batch_size=3), ("random", "nsga2"))

    def make(study: Study) -> Searcher:
        return get_searcher(study.searcher)(small, study.objectives, seed=study.seed)

    for store in (InMemoryStore(),) * 2:
        result = run_race(race, make, InlinePool(ToyEvaluator(small)), store)
        assert (result.n_trials, result.exhausted) == (small.size(), True)


def test_a_race_without_a_feasible_arch_says_so() -> None:
    with pytest.raises(InfeasibleError, match=r"latency_ms <= 0\.25"):
        run(a_race(constraints=(Constraint("latency_ms", maximum=0.25),)), InMemoryStore())
    everything = ToyEvaluator(SPACE, frozenset(arch.key for arch in SPACE.archs()))
    with pytest.raises(EvaluatorError, match="all 60 trials"):
        run(a_race(), InMemoryStore(), everything)


@pytest.mark.parametrize(
    ("names", "repeats", "word"),
    [(("random",), 1, "two"), (("random", "random"), 1, "twice"), (NAMES, 0, "repeats")],
)
def test_bad_races_are_refused(names: Sequence[str], repeats: int, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        a_race(names, repeats)


@STEADY
@given(st.integers(1, 10_000), st.integers(2, 40))
def test_rungs_divide_the_budget(budget: int, n_searchers: int) -> None:
    rungs = Rungs(budget, n_searchers)
    ends = [rungs.end(rung) for rung in range(rungs.n_rungs)]
    assert ends[-1] == budget
    assert ends == sorted(ends)
    left = n_searchers
    for _ in range(rungs.n_rungs - 1):
        left = -(-left // 2)
    assert left == 1


@STEADY
@given(st.dictionaries(st.text(min_size=1), st.sampled_from([0.0, 1.0, 2.0]), min_size=1))
def test_survivors_are_the_better_half(scores: dict[str, float]) -> None:
    staying = survivors(scores)
    assert len(staying) == -(-len(scores) // 2)
    gone = [name for name in scores if name not in staying]
    assert all(scores[stays] >= scores[goes] for stays in staying for goes in gone)
    assert list(staying) == [name for name in scores if name in staying]


def test_curves_hold_the_spread_over_seeds() -> None:
    curve = curve_of("x", [[(2, 1.0), (4, 3.0)], [(2, 2.0), (5, 6.0)], [(2, 4.0)]], 5)
    assert curve.evaluations == (2, 4, 5)
    assert curve.hypervolume == (2.0, 3.0, 4.0)
    assert curve.low == (1.0, 2.0, 3.0)
    assert curve.high == (4.0, 4.0, 6.0)


def test_repeats_have_seeds_of_their_own() -> None:
    race, store = a_race(("random", "nsga2"), repeats=3), InMemoryStore()
    result = run(race, store)
    assert [study.seed for study in race.racers] == [1, 2, 3, 1, 2, 3]
    assert [curve.n_seeds for curve in result.curves] == [3, 3]
    curve = result.curves[0]
    assert np.all(np.array(curve.low) <= curve.hypervolume)
    assert np.any(np.array(curve.low) < curve.high)
