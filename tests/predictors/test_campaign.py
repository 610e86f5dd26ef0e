from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from predictors.campaign import Campaign
from predictors.errors import UnstableMeasurementError
from predictors.protocol import MeasurementProtocol
from predictors.sample import LatencySample
from predictors.trust import judge, require_good
from tests.contracts.predictor import sample_archs
from tests.predictors.fakes import DEVICE, SPACE


def sample(arch: object, ms: float, wall: float | None = None) -> LatencySample:
    return LatencySample(arch, DEVICE, (ms,), (wall or ms,))  # type: ignore[arg-type]


def campaign(error: float, spread: float, n: int = 2000, repeats: int = 400, seed: int = 0) -> Campaign:
    """Log latencies of standard deviation ``spread``, each measured with relative ``error``."""
    rng = np.random.default_rng(seed)
    archs = sample_archs(SPACE, n)
    truth = rng.normal(0, spread, n)
    first = np.exp(truth + rng.normal(0, error, n))
    second = np.exp(truth + rng.normal(0, error, n))
    pairs = list(zip(archs, first, second, strict=True))
    return Campaign(
        tuple(sample(arch, a) for arch, a, _ in pairs),
        tuple(sample(arch, b) for arch, _, b in pairs[:repeats]),
    )


@pytest.mark.parametrize(("error", "spread"), [(0.01, 0.3), (0.1, 0.3), (0.3, 0.3)])
def test_the_estimate_agrees_with_the_spearman_of_a_real_repetition(error: float, spread: float) -> None:
    found = campaign(error, spread, repeats=2000)
    actual = spearmanr([s.latency_ms for s in found.samples], [s.latency_ms for s in found.repeats]).statistic
    assert found.self_spearman == pytest.approx(actual, abs=0.02)
    assert found.relative_error == pytest.approx(error, rel=0.1)


def test_identical_pairs_are_perfect() -> None:
    found = campaign(0.0, 0.3)
    assert found.relative_error == 0.0
    assert found.self_spearman == pytest.approx(1.0)


def refused(found: Campaign, least: float) -> None:
    require_good(found, judge(found, None, MeasurementProtocol(min_spearman=least)))


def test_fewer_than_three_pairs_say_nothing() -> None:
    found = campaign(1.0, 0.3, n=50, repeats=2)
    assert found.self_spearman is None
    assert "self_spearman" not in found.repeatability
    refused(found, 0.99)


def test_noise_is_refused_and_named_with_what_to_try() -> None:
    pattern = (
        r"Spearman .*; 0\.98 is required; one measurement errs by .* What to try: close other work.*--passes"
    )
    with pytest.raises(UnstableMeasurementError, match=pattern):
        refused(campaign(0.2, 0.3), 0.98)


def test_equal_networks_are_not_judged_by_rank() -> None:
    found = campaign(0.05, 0.001)
    assert found.spread < 1.5
    refused(found, 0.99)


def test_wall_over_cpu_shows_other_work() -> None:
    archs = sample_archs(SPACE, 3)
    found = Campaign(tuple(sample(arch, 2.0, 3.0) for arch in archs))
    assert found.wall_over_cpu == 1.5
    assert math.isnan(Campaign(()).wall_over_cpu)


def test_latency_is_cpu_time_on_one_thread_and_wall_time_on_more() -> None:
    one = LatencySample(SPACE.extreme(largest=True), DEVICE, (1.0, 9.0, 2.0), (5.0, 5.0, 8.0))
    two = replace(one, device=replace(DEVICE, threads=2))
    assert (one.latency_ms, two.latency_ms) == (2.0, 5.0)
