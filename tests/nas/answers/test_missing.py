"""How much hypervolume a front of predicted latencies may be missing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nas.answers.missing import missing_hypervolume, possible_gains, predicted_front

ARCHS = st.lists(
    st.tuples(st.floats(0.0, 1.0, width=16), st.floats(0.125, 8.0, width=16), st.floats(0.0, 1.0, width=16)),
    min_size=1,
    max_size=12,
)
Rows = list[tuple[float, float, float]]


def columns(rows: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Accuracies, latencies, and the intervals' widths as shares."""
    table = np.array(rows, dtype=np.float64)
    return table[:, 0], table[:, 1], table[:, 2]


@given(ARCHS)
def test_it_is_a_share_and_nothing_where_intervals_have_no_width(rows: Rows) -> None:
    top1, latency, width = columns(rows)
    found = missing_hypervolume(top1, latency, latency * (1 - width))
    assert found.missing >= 0
    assert 0 <= found.share <= 1
    certain = missing_hypervolume(top1, latency, latency)
    assert certain.missing == pytest.approx(0, abs=1e-9)
    assert certain.hypervolume == found.hypervolume


@given(ARCHS, st.floats(0.0, 1.0))
def test_wider_intervals_never_miss_less(rows: Rows, factor: float) -> None:
    top1, latency, width = columns(rows)
    wide = missing_hypervolume(top1, latency, latency * (1 - width))
    narrow = missing_hypervolume(top1, latency, latency * (1 - factor * width))
    assert narrow.missing <= wide.missing + 1e-9


def test_it_is_the_area_that_an_arch_off_the_front_may_add() -> None:
    top1, latency = np.array([0.5, 0.5]), np.array([1.0, 2.0])
    assert predicted_front(top1, latency).tolist() == [True, False]
    found = missing_hypervolume(top1, latency, np.array([0.1, 0.8]))
    assert found.reference_ms == pytest.approx(2.2)
    assert found.hypervolume == pytest.approx(0.5 * 1.2)
    assert found.missing == pytest.approx(0.5 * 0.2)
    assert found.share == pytest.approx(0.1 / 0.7)


@given(ARCHS)
def test_no_arch_alone_may_add_what_all_of_them_may_not(rows: Rows) -> None:
    top1, latency, width = columns(rows)
    found = missing_hypervolume(top1, latency, latency * (1 - width))
    gains = possible_gains(top1, latency, latency * (1 - width))
    assert (gains >= 0).all()
    off = ~predicted_front(top1, latency)
    assert (gains[off] <= found.missing + 1e-9).all()
    assert (possible_gains(top1, latency, latency) <= 1e-9).all()


def test_what_makes_no_sense_is_refused() -> None:
    one, two = np.ones(1), np.ones(2)
    for top1, latency, low in ((one, two, two), (two, two, one), (np.ones(0), np.ones(0), np.ones(0))):
        with pytest.raises(ValueError, match="one shape"):
            missing_hypervolume(top1, latency, low)
    with pytest.raises(ValueError, match="above latency_ms"):
        missing_hypervolume(one, one, 2 * one)
