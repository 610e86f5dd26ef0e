"""The simulation of a search agrees with what can be worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.scale.simulate import Costs, Plan, simulate

FREE = Costs(
    evaluate_s=1.0, evaluate_cv=1e-3, call_s=0.0, recall_s=0.0, recall_arch_s=0.0, call_latency_s=0.0,
    ask_s=0.0, ask_told_s=0.0, start_s=0.0, commit_s=0.0, finish_s=0.0,
)  # fmt: skip


@pytest.mark.parametrize(("workers", "batch"), [(1, 10), (10, 100), (7, 700)])
def test_a_free_driver_keeps_all_workers_busy(workers: int, batch: int) -> None:
    found = simulate(FREE, Plan(1400, workers, batch))
    assert found.per_s == pytest.approx(workers, rel=0.02)
    assert found.workers == pytest.approx(1.0, abs=0.02)
    assert found.bottleneck == "workers"


def test_a_batch_smaller_than_the_workers_leaves_them_idle() -> None:
    found = simulate(FREE, Plan(1000, 100, 10))
    assert found.per_s == pytest.approx(10, rel=0.02)
    assert found.bottleneck == "end of batches"


def test_one_commit_for_each_evaluation_limits_many_workers() -> None:
    slow = replace(FREE, commit_s=0.1)
    each = simulate(slow, Plan(2000, 100, 1000, grouped=False))
    grouped = simulate(slow, Plan(2000, 100, 1000))
    assert each.per_s == pytest.approx(10, rel=0.1)
    assert each.bottleneck == "storing"
    assert grouped.per_s > 3 * each.per_s


def test_asking_that_grows_with_the_history_takes_over() -> None:
    plan = Plan(1000, 10, 10)
    found = simulate(replace(FREE, ask_told_s=0.1), plan)
    asked = 0.1 * sum(range(0, 1000, 10))
    assert found.seconds == pytest.approx(100 + asked, rel=0.02)
    assert found.bottleneck == "asking"
    assert simulate(replace(FREE, ask_told_s=0.1), plan) == found


def test_known_values_are_read_once_a_batch() -> None:
    slow = replace(FREE, recall_s=2.0, recall_arch_s=0.01)
    found = simulate(slow, Plan(1000, 10, 100))
    assert found.seconds == pytest.approx(100 + 10 * (2.0 + 1.0), rel=0.02)
    assert found.calling == pytest.approx(30 / found.seconds)
