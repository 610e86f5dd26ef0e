"""What every sampler of supernet training must do."""

from __future__ import annotations

import json

import numpy as np

from nas.supernet.training.samplers.sampler import Sampler
from searchspaces.registry import get_space
from searchspaces.space import SearchSpace

SPACE = get_space("hybrid-tiny")


class SamplerContract:
    """Subclass and define ``make``."""

    def make(self, space: SearchSpace) -> Sampler:
        raise NotImplementedError

    def test_genes_are_legal_and_varied(self):
        sampler = self.make(SPACE)
        rng = np.random.default_rng(0)
        archs = {SPACE.arch(sampler.genes(rng)) for _ in range(50)}
        assert len(archs) > 40

    def test_a_prefix_is_kept(self):
        sampler = self.make(SPACE)
        rng = np.random.default_rng(0)
        for length in (1, 7, len(SPACE.choices) - 1):
            prefix = list(SPACE.sample(rng).genes[:length])
            assert sampler.genes(rng, prefix)[:length] == prefix

    def test_every_option_is_drawn(self):
        sampler = self.make(SPACE)
        rng = np.random.default_rng(1)
        genes = np.array([sampler.genes(rng) for _ in range(400)])
        for column, choice in zip(genes.T, SPACE.choices, strict=True):
            assert set(column) == set(range(len(choice.values))), choice.name

    def test_memory_continues_the_same_draws(self):
        sampler = self.make(SPACE)
        rng = np.random.default_rng(2)
        for _ in range(11):
            sampler.genes(rng)
        other = self.make(SPACE)
        other.recall(json.loads(json.dumps(dict(sampler.memory()))))
        rngs = np.random.default_rng(3), np.random.default_rng(3)
        assert [sampler.genes(rngs[0]) for _ in range(20)] == [other.genes(rngs[1]) for _ in range(20)]
