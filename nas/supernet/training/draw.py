"""Which subnets a training step runs, and which of them see the same images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, assert_never

import numpy as np

from nas.supernet.config import TrainConfig
from nas.supernet.sampling import resized, within_anchor
from nas.supernet.training.samplers.sampler import Sampler
from searchspaces.space import Arch, SearchSpace

LATE = 2.0  # a branch lies at the share u ** (1 / LATE) of the genes, u uniform: 2/3 on average


def draw_groups(
    space: SearchSpace,
    config: TrainConfig,
    sampler: Sampler,
    rng: np.random.Generator,
    *,
    anchors_only: bool = False,
) -> list[list[Arch]]:
    """The archs of one step; each group sees its own share of the batch.

    Sandwich mode has one group, largest and smallest first; multi mode as many groups as subnets;
    tree mode ``trees`` groups; sandwich_tree mode one, largest and smallest first. With
    ``anchors_only`` a path stays within one anchor; the anchors take turns, from a random one on.
    """
    anchors: Sequence[str] = space.fabric.anchors if anchors_only else ()
    first = int(rng.integers(len(anchors))) if anchors else 0

    def genes(turn: int, prefix: Sequence[int] = ()) -> list[int]:
        drawn = sampler.genes(rng, prefix)
        if anchors:
            drawn = within_anchor(space, drawn, anchors[(first + turn) % len(anchors)], rng)
        return [*prefix, *drawn[len(prefix) :]]

    match config.mode:
        case "sandwich":
            drawn = [_extremes(space, genes) + [genes(i) for i in range(2, config.subnets)]]
        case "sandwich_tree":
            drawn = [_extremes(space, genes) + _tree(space, rng, genes, config.subnets - 2, turn=2)]
        case "tree":
            n = config.subnets // config.trees
            large = config.distill == "largest"
            drawn = [_tree(space, rng, genes, n, turn=i, large=large) for i in range(config.trees)]
        case "multi":
            drawn = [[genes(i)] for i in range(config.subnets)]
        case "blockwise":
            raise ValueError("blockwise mode draws paths through one stage, not whole subnets")
        case other:
            assert_never(other)
    return [[space.arch(raw) for raw in group] for group in drawn]


class _Genes(Protocol):
    def __call__(self, turn: int, prefix: Sequence[int] = ()) -> list[int]: ...


def _extremes(space: SearchSpace, genes: _Genes) -> list[list[int]]:
    """Raw genes of a largest and a smallest subnet, whose operators are random."""
    return [resized(space, genes(0), largest=True), resized(space, genes(1), largest=False)]


def _tree(
    space: SearchSpace,
    rng: np.random.Generator,
    genes: _Genes,
    n_leaves: int,
    *,
    turn: int,
    large: bool = False,
) -> list[list[int]]:
    """Raw genes of one tree: each leaf after the first leaves the path of a random earlier one.

    It branches at one of that path's active choices, later ones being likelier, because what
    comes before is computed once for both. The order of choices is that of the chain. With
    ``large`` the first leaf is a largest subnet.
    """
    root = genes(turn)
    leaves = [resized(space, root, largest=True) if large else root]
    for _ in range(n_leaves - 1):
        path = leaves[int(rng.integers(len(leaves)))]
        active = [i for i, on in enumerate(space.active(path)) if on]
        branch = active[int(len(active) * rng.random() ** (1 / LATE))]
        leaves.append(genes(turn, path[:branch]))
    return leaves
