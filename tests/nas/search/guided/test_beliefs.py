"""Beliefs: what a predictor's uncertainty means for improvement and for constraints."""

from __future__ import annotations

import numpy as np

from nas.search.guided.beliefs import EXACT, KnownBelief, known_scale

COSTS = np.array([4.0, 8.0, 9.0, 12.0])


def belief(std: float) -> KnownBelief:
    return KnownBelief(known_scale(COSTS), COSTS, np.full(len(COSTS), std))


def test_a_predictor_leaves_nothing_for_an_evaluation_to_show() -> None:
    assert (belief(5.0).std == EXACT).all()


def test_the_less_certain_a_predictor_the_further_off_a_limit_is_safe() -> None:
    certain, doubtful, lost = (np.exp(belief(std).log_below(9.0, 1.0)) for std in (0.0, 1.0, 50.0))
    np.testing.assert_allclose(certain[[0, 1, 3]], [1, 1, 0], atol=1e-6)
    assert certain[2] > 0.5  # a cost at its limit is allowed
    assert doubtful[0] > 0.99
    assert 0.6 < doubtful[1] < 0.95
    assert (lost[:2] < doubtful[:2]).all()
    assert (lost[:2] > 0.5).all()


def test_beyond_a_limit_nearer_is_better() -> None:
    scores = belief(1.0).log_below(3.0, 1.0)
    assert (scores < -1e9).all()
    assert (np.diff(scores) < 0).all()
