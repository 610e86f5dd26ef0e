"""Archs spread evenly over a known cost."""

from __future__ import annotations

import numpy as np
import pytest

from nas.pareto import FloatArray, IntArray
from nas.search.guided.illuminate import illuminate
from searchspaces.genes import sample_genes
from searchspaces.registry import get_space

SPACE = get_space("hybrid-tiny")


def product(genes: IntArray) -> FloatArray:
    """A cost that spans many octaves, of which random archs see the middle."""
    return np.asarray(np.exp(0.1 * genes.sum(axis=1, dtype=np.float64)))


@pytest.mark.parametrize("seed", range(3))
def test_both_ends_and_what_lies_between_are_reached(seed: int) -> None:
    start = sample_genes(SPACE, 64, np.random.default_rng(seed))
    found = illuminate(SPACE, start, product, 128, np.random.default_rng(seed))
    logs, given_logs = np.log(product(found)), np.log(product(start))
    assert len(np.unique(found, axis=0)) == len(found) <= 128
    assert logs.min() < given_logs.min() - 0.2 * np.ptp(given_logs)
    assert logs.max() > given_logs.max() + 0.2 * np.ptp(given_logs)
    shares = np.histogram(logs, 8)[0] / len(found)
    assert shares.max() < 0.3
    assert (shares > 0.01).all()


def test_the_same_seed_finds_the_same_archs() -> None:
    start = sample_genes(SPACE, 16, np.random.default_rng(3))
    once, again = (illuminate(SPACE, start, product, 64, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(once, again)


def test_a_constant_cost_gives_archs_all_the_same() -> None:
    start = sample_genes(SPACE, 16, np.random.default_rng(3))
    found = illuminate(SPACE, start, lambda genes: np.ones(len(genes)), 32, np.random.default_rng(5))
    assert len(found) == 32
