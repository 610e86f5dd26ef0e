"""Samplers: the contract, the flat histogram of costs, and fairness to every option."""

import numpy as np
import pytest

from nas.supernet.training.samplers.cost_balanced import BINS, CostBalancedSampler
from nas.supernet.training.samplers.least_trained import LeastTrainedSampler
from nas.supernet.training.samplers.sampler import Sampler
from nas.supernet.training.samplers.uniform import UniformSampler
from searchspaces.registry import get_space
from searchspaces.space import SearchSpace
from tests.contracts.sampler import SPACE, SamplerContract


def cost_balanced(space: SearchSpace) -> CostBalancedSampler:
    return CostBalancedSampler(space, in_channels=1, n_classes=10, seed=0)


class TestUniform(SamplerContract):
    def make(self, space: SearchSpace) -> Sampler:
        return UniformSampler(space)


class TestLeastTrained(SamplerContract):
    def make(self, space: SearchSpace) -> Sampler:
        return LeastTrainedSampler(space)

    def test_no_option_is_ahead_of_another_by_more_than_one(self):
        sampler = self.make(SPACE)
        rng = np.random.default_rng(0)
        for _ in range(37):
            sampler.genes(rng)
            assert all(max(counts) - min(counts) <= 1 for counts in sampler.counts)

    def test_after_a_prefix_only_what_follows_is_counted(self):
        sampler = self.make(SPACE)
        prefix = list(SPACE.extreme(largest=True).genes[:9])
        sampler.genes(np.random.default_rng(0), prefix)
        assert all(sum(counts) == 0 for counts in sampler.counts[:9])
        assert any(sum(counts) for counts in sampler.counts[9:])


class TestCostBalanced(SamplerContract):
    def make(self, space: SearchSpace) -> Sampler:
        return cost_balanced(space)


@pytest.mark.parametrize("name", ["hybrid-tiny", "hybrid-cifar"])
def test_the_histogram_of_costs_is_flat_and_the_uniform_one_is_not(name):
    space = get_space(name)
    sampler = cost_balanced(space)
    rng = np.random.default_rng(0)
    flat, uniform = (
        np.bincount(
            [sampler.bin_of(sampler.macs(drawn.genes(rng))) for _ in range(30 * BINS)], minlength=BINS
        )
        for drawn in (sampler, UniformSampler(space))
    )
    assert np.all(np.abs(flat / 30 - 1) <= 0.2), flat
    assert np.any(np.abs(uniform / 30 - 1) > 0.5), uniform
