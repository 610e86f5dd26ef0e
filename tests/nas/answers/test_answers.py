"""Answers about a study: laws of the trend, of constraints and of the outlook."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.answers.constraints import constraint_effects
from nas.answers.outlook import outlook
from nas.answers.trend import POINTS, trend
from nas.pareto import cost_matrix, hypervolume, pareto_front, reference_costs
from nas.types import Constraint, Evaluation
from tests.contracts.toy import OBJECTIVES, toy_evaluate, toy_space

SPACE = toy_space(3)
ARCHS = list(SPACE.archs())
STEADY = settings(deadline=None, derandomize=True, max_examples=25)  # shared machines stall
VALUES = st.tuples(st.floats(0, 1), st.floats(0.5, 19)) | st.none()
BOUND = st.floats(0.5, 19)


def evaluations_of(rows: list[tuple[float, float] | None]) -> list[Evaluation]:
    return [
        Evaluation(arch, error="does not build")
        if row is None
        else Evaluation(arch, {"top1": row[0], "latency_ms": row[1]})
        for arch, row in zip(ARCHS, rows, strict=False)
    ]


def volume(evaluations: list[Evaluation], constraints: tuple[Constraint, ...] = ()) -> float:
    front = pareto_front(evaluations, OBJECTIVES, constraints)
    return hypervolume(cost_matrix(front, OBJECTIVES), reference_costs(OBJECTIVES))


@STEADY
@given(st.lists(VALUES, max_size=120), BOUND)
def test_trend_is_the_hypervolume_of_every_prefix_it_names(
    rows: list[tuple[float, float] | None], maximum: float
) -> None:
    limits, evaluations = (Constraint("latency_ms", maximum=maximum),), evaluations_of(rows)
    found = trend(evaluations, OBJECTIVES, limits)
    assert len(found.points) <= POINTS + 1
    assert [n for n, _ in found.points] == sorted({n for n, _ in found.points})
    assert (found.points[-1][0] if found.points else 0) == len(evaluations)
    for n, value in found.points:
        assert value == pytest.approx(volume(evaluations[:n], limits))
    assert 0.0 <= found.recent_gain <= 1.0


@STEADY
@given(st.lists(VALUES, max_size=40), BOUND, st.floats(0, 1))
def test_effects_are_those_of_leaving_a_constraint_out(
    rows: list[tuple[float, float] | None], maximum: float, minimum: float
) -> None:
    limits = (Constraint("latency_ms", maximum=maximum), Constraint("top1", minimum=minimum))
    evaluations = evaluations_of(rows)
    complete = [e for e in evaluations if e.error is None]
    effects = constraint_effects(evaluations, OBJECTIVES, limits)
    before = {e.arch for e in pareto_front(evaluations, OBJECTIVES, limits)}
    for effect, other in zip(effects, limits[::-1], strict=True):
        violating = sum(effect.constraint.violation(e.values[effect.constraint.metric]) > 0 for e in complete)
        assert effect.excluded * max(1, len(complete)) == pytest.approx(violating)
        assert effect.excluded_alone <= effect.excluded
        after = {e.arch for e in pareto_front(evaluations, OBJECTIVES, (other,))}
        assert effect.new_members == len(after - before)
        assert effect.binds == (after != before)
        present = volume(evaluations, limits)
        if effect.hypervolume_gain is None:
            assert present == 0.0
        else:
            grown = volume(evaluations, (other,))
            assert present * (1 + effect.hypervolume_gain) == pytest.approx(grown)


def test_outlook_of_a_few_evaluations_promises_more_than_of_many() -> None:
    evaluations = toy_evaluate(SPACE, ARCHS)
    order = np.random.default_rng(0).permutation(len(evaluations))
    shuffled = [evaluations[i] for i in order]
    few = outlook(SPACE, shuffled[:12], OBJECTIVES, n_archs=10)
    many = outlook(SPACE, shuffled[:-10], OBJECTIVES, n_archs=10)
    assert few.pays
    assert few.expected_gain is not None
    assert many.expected_gain is not None
    assert 0 <= many.expected_gain < few.expected_gain
    assert few == outlook(SPACE, shuffled[:12], OBJECTIVES, n_archs=10)


def test_outlook_of_nothing_and_of_everything() -> None:
    unknown = outlook(SPACE, [], OBJECTIVES, n_archs=5)
    assert (unknown.n_archs, unknown.expected_gain, unknown.pays) == (5, None, None)
    spent = outlook(SPACE, toy_evaluate(SPACE, ARCHS), OBJECTIVES, n_archs=5)
    assert (spent.n_archs, spent.expected_gain, spent.pays) == (0, 0.0, False)


def test_outlook_under_a_constraint_that_nothing_meets_is_finite() -> None:
    limits = (Constraint("latency_ms", maximum=0.25),)
    found = outlook(SPACE, toy_evaluate(SPACE, ARCHS[:20]), OBJECTIVES, limits, n_archs=5)
    assert found.expected_gain is not None
    assert np.isfinite(found.expected_gain)
