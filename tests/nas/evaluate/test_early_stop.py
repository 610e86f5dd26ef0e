"""Early stop drops only what cannot reach the front, and says so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.data.types import Split
from nas.errors import ConfigError
from nas.evaluate.accuracy import BATCH
from nas.evaluate.joint import CostEvaluator
from nas.evaluate.prefix.early_stop import StoppingEvaluator, StopRule, needed_count
from nas.evaluate.prefix.evaluator import Tally
from nas.memory_store import InMemoryStore
from nas.pareto import front_mask
from nas.search.history import History
from nas.types import Constraint, Direction, Evaluation, Objective, Study, TrialState
from searchspaces.registry import get_space
from searchspaces.space import Arch
from tests.nas.evaluate.test_prefix import N_CLASSES, images, relatives, supernet_of

TOP1 = Objective("top1", Direction.MAXIMIZE, 0.0)
MACS = Objective("macs", Direction.MINIMIZE, 1e9)
ARCH = Arch("toy@1", (0,))
counts = st.integers(0, 20)


@given(st.lists(st.tuples(counts, st.integers(1, 3)), max_size=6), counts, st.integers(1, 3))
def test_the_needed_count_is_the_least_that_is_not_dominated(
    members: list[tuple[int, int]], correct: int, macs: int
) -> None:
    rows = [Evaluation(ARCH, {"top1": k / 20, "macs": float(m)}) for k, m in members]
    front = [row for row, on in zip(rows, front_mask(rows, (TOP1, MACS)), strict=True) if on]
    arch = Evaluation(ARCH, {"macs": float(macs)})
    needed = needed_count(arch, front, (TOP1, MACS), (), 20)
    whole = Evaluation(ARCH, {"top1": correct / 20, "macs": float(macs)})
    assert bool(front_mask([*front, whole], (TOP1, MACS))[-1]) == (correct >= needed)


def test_a_bound_on_top1_counts() -> None:
    arch = Evaluation(ARCH, {"macs": 1.0})
    assert needed_count(arch, [], (TOP1, MACS), (Constraint("top1", minimum=0.55),), 20) == 11
    assert needed_count(arch, [], (TOP1, MACS), (Constraint("macs", minimum=0.55),), 20) == 0


@pytest.mark.parametrize(("n_right", "needed"), [(60, 60), (61, 60), (40, 40)])
def test_wrong_drops_are_rarer_than_delta(n_right: int, needed: int) -> None:
    rule, rng = StopRule(0.1, 100, 9), np.random.default_rng(0)
    images_right = np.arange(100) < n_right
    dropped = 0
    for _ in range(600):
        seen = np.cumsum(rng.permutation(images_right))
        dropped += any(rule.is_hopeless(Tally(int(seen[n - 1]), n), needed) for n in range(10, 100, 10))
    assert dropped <= 0.1 * 600


def test_the_hopeless_are_dropped_early_and_at_last_for_certain() -> None:
    rule = StopRule(0.01, 1000, 9)
    assert rule.is_hopeless(Tally(30, 100), 600)
    assert not rule.is_hopeless(Tally(60, 100), 600)
    assert rule.is_hopeless(Tally(499, 900), 600)  # 599 at best
    assert rule.is_hopeless(Tally(900, 900), 1001)


@given(st.integers(1, 60), st.data())
def test_the_upper_bound_is_the_border_of_hope(seen: int, data: st.DataObject) -> None:
    rule = StopRule(0.05, 60, 3)
    tally = Tally(data.draw(st.integers(0, seen)), seen)
    border = round(rule.upper(tally) * 60)
    assert tally.correct <= border <= 60
    assert not rule.is_hopeless(tally, border)
    assert rule.is_hopeless(tally, border + 1)


@pytest.mark.parametrize("delta", [0.0, 1.0, float("nan")])
def test_delta_must_be_a_probability(delta: float) -> None:
    with pytest.raises(ConfigError, match="delta"):
        StopRule(delta, 10, 1)


def stopping(objectives: tuple[Objective, ...] = (TOP1, MACS), seed: int = 0) -> StoppingEvaluator:
    """Over four batches of images."""
    val, calibration = images()
    many = Split(np.tile(val.images, (4, 1, 1, 1))[: 4 * BATCH], np.tile(val.labels, 4)[: 4 * BATCH])
    supernet = supernet_of("stitched-tiny")
    cheap = CostEvaluator(supernet.space, in_channels=1, n_classes=N_CLASSES)
    return StoppingEvaluator(supernet, many, calibration, cheap=[cheap], objectives=objectives, seed=seed)


def test_what_is_not_dropped_has_its_full_value_and_drops_are_marked() -> None:
    archs = relatives(get_space("stitched-tiny"), 2, 3)
    evaluator = stopping()
    full = evaluator.evaluate(archs)
    assert all(evaluation.error is None for evaluation in full)
    ideal = replace(full[0], values={**full[0].values, "top1": 0.9, "macs": 0.0})
    dropped = evaluator.evaluate_against(archs, [ideal])
    assert dropped == stopping().evaluate_against(archs, [ideal])
    for before, after in zip(full, dropped, strict=True):
        assert "top1" not in after.values
        assert "dropped after" in str(after.error)
        assert after.values["top1_images"] < 4 * BATCH
        assert before.values["top1"] <= after.values["top1_upper"] < 0.9
    harmless = replace(full[0], values={**full[0].values, "top1": 0.9, "macs": 1e9})
    assert evaluator.evaluate_against(archs, [harmless]) == full


def test_a_dropped_trial_is_no_evaluation_to_stores_and_searchers() -> None:
    space = get_space("stitched-tiny")
    archs = relatives(space, 2, 3)
    evaluator = stopping()
    ideal = Evaluation(archs[0], {"top1": 0.9, "macs": 0.0})
    store = InMemoryStore()
    store.create_study(Study("s", space.id, (TOP1, MACS), "random", 3, 0))
    store.start_trials("s", archs)
    for number, evaluation in enumerate(evaluator.evaluate_against(archs, [ideal])):
        store.finish_trial("s", number, evaluation)
    trials = store.list_trials("s")
    assert {trial.state for trial in trials} == {TrialState.FAILED}
    assert store.front("s") == []
    history = History(space, (TOP1, MACS), ())
    history.tell([trial.evaluation for trial in trials])
    assert history.complete == []
    assert history.taken(()) == set(archs)


def test_top1_must_not_be_minimised() -> None:
    with pytest.raises(ConfigError, match="top1"):
        stopping((replace(TOP1, direction=Direction.MINIMIZE),))
