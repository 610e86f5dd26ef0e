"""run_study: exact budgets, exact resume after a crash at any step, clear endings."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from nas.errors import ConfigError, EvaluatorError, InfeasibleError, StudyExistsError, StudyNotFoundError
from nas.evaluate.inline_pool import InlinePool
from nas.memory_store import InMemoryStore
from nas.pareto import pareto_front
from nas.search.registry import get_searcher
from nas.search.searcher import Searcher
from nas.study import StudyProgress, StudyResult, run_study
from nas.types import Constraint, Direction, Evaluation, Objective, Study, Trial, TrialState
from searchspaces.errors import InvalidArchError
from searchspaces.space import Arch
from tests.contracts.toy import LIMIT, OBJECTIVES, ToyEvaluator, toy_space, toy_study

SPACE = toy_space()
FAST_SEARCHERS = ("random", "nsga2", "tpe", "nni-tpe", "nni-evolution")


class CrashError(RuntimeError):
    """The process dies here."""


class CrashingStore(InMemoryStore):
    """Raises before or after its n-th write: a crash on either side of a commit."""

    def __init__(self) -> None:
        super().__init__()
        self.writes_left: int | None = None
        self.after = False

    def _write(self) -> bool:
        if self.writes_left is None:
            return False
        self.writes_left -= 1
        return self.writes_left == 0

    def start_trials(self, study_id: str, archs: Sequence[Arch]) -> list[Trial]:
        crash = self._write()
        if crash and not self.after:
            raise CrashError
        trials = super().start_trials(study_id, archs)
        if crash:
            raise CrashError
        return trials

    def finish_trials(self, study_id: str, evaluations: Mapping[int, Evaluation]) -> list[Trial]:
        crash = self._write()
        if crash and not self.after:
            raise CrashError
        trials = super().finish_trials(study_id, evaluations)
        if crash:
            raise CrashError
        return trials


class ShufflingPool:
    """Several slots, in which chunks take random times and so finish in any order."""

    def __init__(self, seed: int, capacity: int = 3) -> None:
        self.capacity = capacity
        self._rng = np.random.default_rng(seed)
        self._threads = ThreadPoolExecutor(capacity)

    def recall(self, archs: Sequence[Arch]) -> Mapping[Arch, Evaluation]:
        return {}

    def submit(self, archs: Sequence[Arch]) -> Future[list[Evaluation]]:
        return self._threads.submit(self._evaluate, archs, self._rng.random() / 100)

    def _evaluate(self, archs: Sequence[Arch], seconds: float) -> list[Evaluation]:
        time.sleep(seconds)
        return EVALUATOR.evaluate(archs)

    def close(self) -> None:
        self._threads.shutdown()


BAD = frozenset(arch.key for arch in list(SPACE.archs())[::11])
EVALUATOR = ToyEvaluator(SPACE, BAD)


def fresh(study: Study) -> Searcher:
    factory = get_searcher(study.searcher)
    return factory(SPACE, study.objectives, constraints=study.constraints, seed=study.seed)


def run(study: Study, store: InMemoryStore, evaluator: object = EVALUATOR) -> StudyResult:
    return run_study(study, fresh(study), InlinePool(evaluator), store)  # type: ignore[arg-type]


def asked(store: InMemoryStore, study: Study) -> list[Arch]:
    return [trial.evaluation.arch for trial in store.list_trials(study.id)]


@pytest.mark.parametrize(("budget", "batch_size"), [(1, 6), (6, 6), (20, 6), (5, 50), (7, 1)])
def test_budget_is_met_exactly(budget: int, batch_size: int) -> None:
    store, study = InMemoryStore(), toy_study(budget=budget, batch_size=batch_size)
    result = run(study, store)
    trials = store.list_trials(study.id)
    assert result.n_trials == len(trials) == budget
    assert result.n_failed == sum(trial.state is TrialState.FAILED for trial in trials)
    assert not result.exhausted
    assert not result.stopped
    assert len({trial.evaluation.arch for trial in trials}) == budget
    assert result.hypervolumes[-1][0] == budget


def test_hypervolume_never_falls_and_belongs_to_the_front() -> None:
    store, study = InMemoryStore(), toy_study(budget=40, searcher="nsga2")
    volumes = [volume for _, volume in run(study, store).hypervolumes]
    assert volumes == sorted(volumes)
    assert volumes[-1] > volumes[0] > 0
    evaluations = [trial.evaluation for trial in store.list_trials(study.id)]
    front = pareto_front(evaluations, study.objectives)
    assert [trial.evaluation for trial in store.front(study.id)] == front


@pytest.mark.parametrize("searcher", FAST_SEARCHERS)
def test_a_crash_at_any_step_changes_nothing(searcher: str) -> None:
    if searcher.startswith("nni"):
        pytest.importorskip("nni", reason="the extra nni is not installed")
    study = toy_study(searcher=searcher, budget=28, batch_size=6, constraints=(LIMIT,))
    whole = InMemoryStore()
    expected = run(study, whole)
    writes = 3 * 5  # each of five batches is started, then finished in two chunks
    for after in (False, True):
        for step in range(1, writes + 1, 1 if searcher == "nsga2" else 2):
            store = CrashingStore()
            store.writes_left, store.after = step, after
            with pytest.raises(CrashError):
                run(study, store)
            store.writes_left = None
            assert run(study, store) == expected
            assert store.list_trials(study.id) == whole.list_trials(study.id)


def test_a_run_that_crashes_at_every_step_in_turn_still_ends_the_same() -> None:
    study = toy_study(searcher="nsga2", budget=26)
    whole, store = InMemoryStore(), CrashingStore()
    expected = run(study, whole)
    for _ in range(100):
        store.writes_left, store.after = 2, True
        try:
            result = run(study, store)
        except CrashError:
            continue
        break
    assert result == expected
    assert store.list_trials(study.id) == whole.list_trials(study.id)


@pytest.mark.parametrize("searcher", ["nsga2", "tpe"])
def test_timing_does_not_matter(searcher: str) -> None:
    study = toy_study(searcher=searcher, budget=40, batch_size=10)
    lists = []
    for pool in (InlinePool(EVALUATOR), ShufflingPool(0), ShufflingPool(1, capacity=2)):
        store = InMemoryStore()
        with closing(pool):
            run_study(study, fresh(study), pool, store)
        lists.append(store.list_trials(study.id))
    assert lists[0] == lists[1] == lists[2]


def test_exhausted_space_ends_early_and_says_so_again() -> None:
    space = toy_space(1)
    study = toy_study(budget=100, batch_size=3)
    store = InMemoryStore()
    for _ in range(2):
        searcher = get_searcher("random")(space, OBJECTIVES, seed=1)
        result = run_study(study, searcher, InlinePool(ToyEvaluator(space)), store)
        assert result.exhausted
        assert result.n_trials == len(store.list_trials(study.id)) == space.size() == 5


def test_space_that_ends_with_a_full_batch_is_exhausted_too() -> None:
    space = toy_space(1)
    searcher = get_searcher("random")(space, OBJECTIVES, seed=1)
    study = toy_study(budget=100, batch_size=5)
    result = run_study(study, searcher, InlinePool(ToyEvaluator(space)), InMemoryStore())
    assert (result.n_trials, result.exhausted) == (5, True)


def test_stopping_keeps_what_is_done_and_going_on_ends_the_same() -> None:
    study = toy_study(searcher="nsga2", budget=30)
    whole, store = InMemoryStore(), InMemoryStore()
    run(study, whole)
    for stop_after in (0, 4, 9, 30):
        seen: list[StudyProgress] = []
        result = run_study(
            study,
            fresh(study),
            InlinePool(EVALUATOR),
            store,
            report=seen.append,
            should_stop=lambda: bool(seen) and seen[-1].n_trials >= stop_after,  # noqa: B023
        )
        assert result.stopped == (stop_after < 30)
        assert result.n_trials == seen[-1].n_trials if seen else result.n_trials == 0
    assert store.list_trials(study.id) == whole.list_trials(study.id)


def test_a_study_in_parts_is_the_whole_study() -> None:
    study = toy_study(searcher="nsga2", budget=30)
    whole, parts = InMemoryStore(), InMemoryStore()
    expected = run(study, whole)
    for until, n_trials in ((12, 12), (12, 12), (24, 24), (None, 30)):
        result = run_study(study, fresh(study), InlinePool(EVALUATOR), parts, until=until)
        assert (result.n_trials, result.stopped, result.exhausted) == (n_trials, False, False)
    assert parts.list_trials(study.id) == whole.list_trials(study.id)
    assert result == expected


@pytest.mark.parametrize("until", [0, 7, 30, 36])
def test_parts_are_whole_batches_below_the_budget(until: int) -> None:
    study, store = toy_study(budget=30), InMemoryStore()
    with pytest.raises(ConfigError, match=f"until must be a multiple of batch_size 6 .* got {until}"):
        run_study(study, fresh(study), InlinePool(EVALUATOR), store, until=until)
    with pytest.raises(StudyNotFoundError):
        store.get_study(study.id)


def test_progress_is_reported_as_chunks_are_stored() -> None:
    seen: list[StudyProgress] = []
    study = toy_study(budget=12, batch_size=6)
    run_study(study, fresh(study), InlinePool(EVALUATOR), InMemoryStore(), report=seen.append)
    assert [progress.n_trials for progress in seen] == [3, 6, 9, 12]
    assert all(progress.budget == 12 for progress in seen)
    assert seen[-1].front_size > 0


def test_infeasible_constraint_is_named_with_the_closest_value() -> None:
    limits = (Constraint("latency_ms", maximum=0.25), Constraint("top1", minimum=0.0))
    study = toy_study(constraints=limits, budget=200)
    with pytest.raises(InfeasibleError, match=r"latency_ms <= 0\.25 \(closest found: 1\.5\)") as caught:
        run(study, InMemoryStore(), ToyEvaluator(SPACE))
    assert "top1" not in str(caught.value)


def test_constraints_that_exclude_each_other_are_all_named() -> None:
    limits = (Constraint("latency_ms", maximum=2.0), Constraint("top1", minimum=0.8, maximum=1.0))
    with pytest.raises(InfeasibleError, match=r"together latency_ms <= 2 .* and 0\.8 <= top1 <= 1"):
        run(toy_study(constraints=limits, budget=100), InMemoryStore())


class Answers:
    """An evaluator that answers with ``values`` or, given ``drop``, loses the last evaluation."""

    metrics = ("top1", "latency_ms")

    def __init__(self, values: dict[str, float] | None = None, *, drop: bool = False) -> None:
        self.values, self.drop = values, drop

    def evaluate(self, archs: Sequence[Arch]) -> list[Evaluation]:
        if self.values is None and not self.drop:
            return [Evaluation(arch, error="no memory") for arch in archs]
        return [Evaluation(arch, self.values or {}) for arch in archs][: -1 if self.drop else None]


@pytest.mark.parametrize(
    ("evaluator", "message"),
    [
        (Answers(), "all 20 trials .* failed.*no memory"),
        (Answers({"top1": 0.5}), "needs 'latency_ms'"),
        (Answers({"top1": 0.5, "latency_ms": float("nan")}), "latency_ms is not finite"),
        (Answers({"top1": 0.5, "latency_ms": 1.0}, drop=True), "2 evaluations for 3 archs"),
    ],
)
def test_broken_evaluator_is_reported(evaluator: Answers, message: str) -> None:
    with pytest.raises(EvaluatorError, match=message):
        run(toy_study(), InMemoryStore(), evaluator)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budget": 0}, "budget .* at least 1; got 0"),
        ({"batch_size": 0}, "batch_size .* at least 1; got 0"),
        ({"seed": -1}, "seed .* negative; got -1"),
        ({"objectives": ()}, "objectives"),
        ({"objectives": (OBJECTIVES[0], OBJECTIVES[0])}, "distinct"),
        ({"objectives": (Objective("top1", Direction.MAXIMIZE, float("nan")),)}, "reference of 'top1'"),
    ],
)
def test_settings_out_of_range_store_nothing(changes: dict[str, object], message: str) -> None:
    study = replace(toy_study(), **changes)  # type: ignore[arg-type]
    store = InMemoryStore()
    with pytest.raises(ConfigError, match=message):
        run_study(study, fresh(toy_study()), InlinePool(EVALUATOR), store)
    with pytest.raises(LookupError):
        store.get_study(study.id)


def test_study_of_another_space_or_other_settings_is_refused() -> None:
    store = InMemoryStore()
    with pytest.raises(InvalidArchError, match="other@1"):
        run(replace(toy_study(), space="other@1"), store)
    store = InMemoryStore()
    run(toy_study(), store)
    with pytest.raises(StudyExistsError):
        run(toy_study(budget=21), store)
    assert len(store.list_trials("s1")) == 20
