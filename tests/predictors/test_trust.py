"""When the result of a remote measurement is believed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictors.campaign import Campaign
from predictors.protocol import MeasurementProtocol
from predictors.sample import LatencySample
from predictors.trust import MAX_DRIFT, judge
from tests.predictors.fakes import DEVICE, archs

PROTOCOL = MeasurementProtocol(min_spearman=0.9)
BASE = (0.1, 0.2, 0.3, 0.05, 0.4)


def campaign(references: list[float], repeat_factor: float = 1.0) -> Campaign:
    times = [0.1 * (1 + i) for i in range(20)]

    def samples(of: list[float]) -> tuple[LatencySample, ...]:
        return tuple(LatencySample(a, DEVICE, (ms,), (ms,)) for a, ms in zip(archs(len(of)), of, strict=True))

    repeats = tuple(
        LatencySample(arch, DEVICE, (repeat_factor * ms,), (repeat_factor * ms,))
        for arch, ms in list(zip(archs(20), times, strict=True))[::4]
    )
    return Campaign(samples(times), repeats, {}, samples(references))


@given(st.floats(min_value=1 / 1.45, max_value=1.45))
def test_another_scale_is_undone(factor: float) -> None:
    verdict = judge(campaign([factor * ms for ms in BASE]), BASE, PROTOCOL)
    assert verdict.is_good
    assert verdict.scale * factor == pytest.approx(1.0)
    assert verdict.references_ms == pytest.approx([factor * ms for ms in BASE])


@pytest.mark.parametrize("factor", [MAX_DRIFT * 1.01, 1 / MAX_DRIFT * 0.99, 10.0])
def test_too_much_drift_is_suspect(factor: float) -> None:
    verdict = judge(campaign([factor * ms for ms in BASE]), BASE, PROTOCOL)
    assert not verdict.is_good
    assert f"{factor:.2f} times as slow" in verdict.reasons[0]


def test_references_that_change_apart_are_suspect_but_one_of_them_may() -> None:
    apart = [ms * factor for ms, factor in zip(BASE, (0.6, 1.6, 0.6, 1.6, 1.0), strict=True)]
    assert "different factors" in judge(campaign(apart), BASE, PROTOCOL).reasons[0]
    one = [1.5 * BASE[0], *BASE[1:]]
    assert judge(campaign(one), BASE, PROTOCOL).is_good


def test_repeats_that_disagree_are_suspect_even_in_the_first_campaign() -> None:
    assert judge(campaign(list(BASE)), None, PROTOCOL).is_good
    verdict = judge(campaign(list(BASE), repeat_factor=2.0), None, PROTOCOL)
    assert "repeats" in verdict.reasons[0]
    strict = MeasurementProtocol(min_spearman=0.999999)
    assert "Spearman" in judge(campaign(list(BASE), repeat_factor=1.1), None, strict).reasons[0]


def test_a_first_campaign_is_the_scale() -> None:
    verdict = judge(campaign(list(BASE)), None, PROTOCOL)
    assert (verdict.scale, verdict.reasons) == (1.0, ())
    assert np.allclose(verdict.references_ms, BASE)
