"""Fidelity reports: known rankings, intervals, regret, bad input, JSON."""

from __future__ import annotations

import json
import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.errors import FidelityError
from nas.fidelity.measure import Subject, fidelity
from nas.fidelity.report import FidelityReport

SUBJECT = Subject("toy@1", "s", "top1", "a table")


def report(
    estimates: list[float], truth: list[float], resamples: int = 50, seed: int = 0, **proxies: list[float]
) -> FidelityReport:
    return fidelity(estimates, truth, proxies, subject=SUBJECT, resamples=resamples, seed=seed)


def test_a_perfect_ranking_scores_one_and_regrets_nothing() -> None:
    found = report([1.0, 2.0, 3.0, 4.0], [0.1, 0.2, 0.4, 0.9], reverse=[4.0, 3.0, 2.0, 1.0])
    assert [found.spearman, found.kendall_tau, *found.interval.spearman] == pytest.approx([1.0] * 4)
    assert found.top_regret == 0
    reverse = found.proxies["reverse"]
    assert [reverse.spearman, reverse.kendall_tau] == pytest.approx([-1.0, -1.0])
    assert (found.subnets, found.space, found.truth) == (4, "toy@1", "a table")


def test_regret_is_what_the_top_choice_gives_away() -> None:
    found = report([0.1, 0.9, 0.5], [0.8, 0.7, 0.2])
    assert found.top_regret == pytest.approx(0.1)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=12))
@settings(max_examples=50, deadline=None)
def test_kendall_is_tau_b_by_its_definition(pairs: list[tuple[int, int]]) -> None:
    mine, true = [float(a) for a, _ in pairs], [b / 10 for _, b in pairs]
    if len(set(mine)) == 1 or len(set(true)) == 1:
        with pytest.raises(FidelityError, match="constant"):
            report(mine, true)
        return
    signs = [
        (np.sign(mine[i] - mine[j]), np.sign(true[i] - true[j])) for i, j in combinations(range(len(mine)), 2)
    ]
    concordance = sum(a * b for a, b in signs)
    normal = math.sqrt(sum(a != 0 for a, _ in signs) * sum(b != 0 for _, b in signs))
    assert report(mine, true, resamples=1).kendall_tau == pytest.approx(concordance / normal)


def test_the_interval_holds_the_value_and_narrows_with_more_subnets() -> None:
    widths = []
    for n in (20, 500):
        rng = np.random.default_rng(n)
        truth = rng.random(n)
        found = report((truth + rng.normal(0, 0.2, n)).tolist(), truth.tolist(), resamples=300)
        for value, (low, high) in (
            (found.spearman, found.interval.spearman),
            (found.kendall_tau, found.interval.kendall_tau),
        ):
            assert low < value < high
        widths.append(found.interval.spearman[1] - found.interval.spearman[0])
    assert widths[1] < widths[0] / 2


def test_the_seed_decides_the_interval() -> None:
    rng = np.random.default_rng(0)
    mine, true = rng.random(30).tolist(), rng.random(30).tolist()
    assert report(mine, true, seed=1) == report(mine, true, seed=1)
    assert report(mine, true, seed=1).interval != report(mine, true, seed=2).interval


def test_three_subnets_with_ties_have_an_interval() -> None:
    found = report([0.0, 0.0, 1.0], [0.1, 0.2, 0.1])
    assert all(math.isfinite(end) for end in found.interval.spearman)


@pytest.mark.parametrize(
    ("estimates", "truth", "message"),
    [
        ([1.0, math.nan, 2.0], [0.1, 0.2, 0.3], r"estimates\[1\].*nan"),
        ([1.0, 3.0, 2.0], [0.1, math.inf, 0.3], r"truth\[1\].*inf"),
        ([1.0, 2.0], [0.1, 0.2, 0.3], r"estimates must have the length of truth, 3; got shape \(2,\)"),
        ([1.0, 2.0], [0.1, 0.2], "at least 3 values; got 2"),
        ([1.0, 1.0, 1.0], [0.1, 0.2, 0.3], "estimates must not be constant.*all are 1"),
        ([1.0, 2.0, 3.0], [0.5, 0.5, 0.5], "truth must not be constant"),
        ([1.0, 2.0, 3.0], [91.0, 92.0, 93.0], r"truth must hold accuracies in \[0, 1\]; got 93"),
        ([1.0, 2.0, 3.0], [-0.5, 0.2, 0.3], "got -0.5"),
    ],
)
def test_bad_input_is_named(estimates: list[float], truth: list[float], message: str) -> None:
    with pytest.raises(FidelityError, match=message):
        report(estimates, truth)


def test_a_bad_proxy_seed_or_number_of_resamples_is_named() -> None:
    mine, true = [1.0, 2.0, 3.0], [0.1, 0.2, 0.3]
    with pytest.raises(FidelityError, match=r"proxies\['params'\] must not be constant"):
        report(mine, true, params=[1.0, 1.0, 1.0])
    with pytest.raises(FidelityError, match=r"resamples must lie in 1.*got 0"):
        report(mine, true, resamples=0)
    with pytest.raises(FidelityError, match=r"seed.*got -1"):
        report(mine, true, seed=-1)


def test_a_report_survives_json() -> None:
    found = report([1.0, 4.0, 3.0], [0.1, 0.2, 0.3], params=[1.0, 2.0, 3.0])
    assert FidelityReport.from_json(found.to_json()) == found
    assert json.loads(found.to_json())["interval"]["spearman"] == list(found.interval.spearman)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"interval": {"spearman": [1]}, "proxies": {}}'])
def test_a_text_that_is_no_report_is_refused(text: str) -> None:
    with pytest.raises(FidelityError, match="not a fidelity report"):
        FidelityReport.from_json(text)


def test_a_report_with_a_field_of_another_version_is_refused() -> None:
    values = report([1.0, 4.0, 3.0], [0.1, 0.2, 0.3]).to_dict()
    with pytest.raises(FidelityError, match="not a fidelity report"):
        FidelityReport.from_dict({**values, "colour": "red"})
