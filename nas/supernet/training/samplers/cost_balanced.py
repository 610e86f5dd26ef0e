"""Every cost alike: first a bin of MACs, then a subnet in it (SN-Netv2, arXiv 2307.00154)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from searchspaces.cost import cost
from searchspaces.space import SearchSpace

BINS = 8
TILTS = tuple(float(t) for t in np.linspace(-5, 5, 11))
POOL_PER_TILT = 96
ATTEMPTS = 24  # proposals before a subnet of the pool is taken
MARGIN = 0.02  # share of the pool left out at either end when the range of MACs is set


class CostBalancedSampler:
    """Equally many subnets of each of ``BINS`` equal intervals of MACs.

    Uniform genes pile up at a middle cost. Here a bin is dealt from a shuffled deck, so every
    ``BINS`` draws hold each once; then genes are proposed until one falls into the bin, with
    large options favoured (exponentially in their rank) as much as suits the bin. A bin that
    holds no subnet of a first pool is left out. With a prefix, which limits what can be
    reached, the nearest of the proposals is taken.
    """

    def __init__(self, space: SearchSpace, *, in_channels: int, n_classes: int, seed: int) -> None:
        self.space, self.in_channels, self.n_classes = space, in_channels, n_classes
        rng = np.random.default_rng([seed, 6])
        pools = [[self._propose(rng, tilt, ()) for _ in range(POOL_PER_TILT)] for tilt in TILTS]
        macs = np.array([[self.macs(genes) for genes in pool] for pool in pools])
        self.tilt_macs = macs.mean(1)
        low, high = float(np.quantile(macs, MARGIN)), float(np.quantile(macs, 1 - MARGIN))
        self.edges = np.linspace(low, high, BINS + 1)
        self.pool: list[list[list[int]]] = [[] for _ in range(BINS)]
        for genes, count in zip((g for pool in pools for g in pool), macs.ravel(), strict=True):
            if self.edges[0] <= count <= self.edges[-1]:
                self.pool[self.bin_of(count)].append(genes)
        self.deck: list[int] = []

    def genes(self, rng: np.random.Generator, prefix: Sequence[int] = ()) -> list[int]:
        """See Sampler."""
        if not self.deck:
            self.deck = [int(b) for b in rng.permutation(BINS) if self.pool[b]]
        wanted = self.deck.pop()
        low, high = self.edges[wanted], self.edges[wanted + 1]
        centre = (low + high) / 2
        tilt = TILTS[int(np.abs(self.tilt_macs - centre).argmin())]
        nearest, distance = list(prefix), math.inf
        for _ in range(ATTEMPTS):
            genes = self._propose(rng, tilt, prefix)
            off = abs(self.macs(genes) - centre)
            if off < distance:
                nearest, distance = genes, off
            if off < (high - low) / 2:
                return genes
        if prefix:
            return nearest
        return list(self.pool[wanted][int(rng.integers(len(self.pool[wanted])))])

    def memory(self) -> Mapping[str, Any]:
        """The bins still to be dealt."""
        return {"deck": list(self.deck)}

    def recall(self, memory: Mapping[str, Any]) -> None:
        """See Sampler."""
        self.deck = list(memory["deck"])

    def macs(self, genes: Sequence[int]) -> int:
        """Multiply-adds of the subnet with these raw genes for one image."""
        subnet = self.space.decode(self.space.arch(genes))
        return cost(subnet, in_channels=self.in_channels, n_classes=self.n_classes).macs

    def bin_of(self, macs: float) -> int:
        """The bin, 0 to ``BINS - 1``, that holds this count or lies nearest to it."""
        return int(np.clip(np.searchsorted(self.edges, macs, side="right") - 1, 0, BINS - 1))

    def _propose(self, rng: np.random.Generator, tilt: float, prefix: Sequence[int]) -> list[int]:
        genes = list(prefix)
        for choice in self.space.choices[len(prefix) :]:
            n = len(choice.values)
            if n == 1 or isinstance(choice.values[0], str):  # names have no order
                genes.append(int(rng.integers(n)))
                continue
            weights = np.exp(tilt * np.arange(n) / (n - 1))
            genes.append(int(np.searchsorted(np.cumsum(weights / weights.sum()), rng.random())))
        return [min(g, len(c.values) - 1) for g, c in zip(genes, self.space.choices, strict=True)]
