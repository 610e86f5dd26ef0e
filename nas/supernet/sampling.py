"""Which subnets a training step runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nas.supernet.config import TrainConfig
from searchspaces.fabric import Fabric
from searchspaces.space import Arch, SearchSpace

OPERATOR = "operator"  # the choice POSITION.operator picks a position's candidate


def sample_subnets(
    space: SearchSpace, config: TrainConfig, rng: np.random.Generator, *, anchors_only: bool
) -> list[Arch]:
    """The archs of one step: largest and smallest first in sandwich mode, else all random."""
    names = space.fabric.anchors
    first = int(rng.integers(len(names)))
    draws = [_random_genes(space, rng) for _ in range(config.subnets)]
    if anchors_only:
        draws = [
            within_anchor(space, genes, names[(first + i) % len(names)], rng) for i, genes in enumerate(draws)
        ]
    if config.mode == "sandwich":
        draws[:2] = [resized(space, draws[0], largest=True), resized(space, draws[1], largest=False)]
    return [space.arch(genes) for genes in draws]


def _random_genes(space: SearchSpace, rng: np.random.Generator) -> list[int]:
    """Uniform raw genes. Not canonical, so that choices activated later on are random too."""
    return [int(rng.integers(len(choice.values))) for choice in space.choices]


def within_anchor(
    space: SearchSpace, genes: Sequence[int], anchor: str, rng: np.random.Generator
) -> list[int]:
    """The raw genes with every position's candidate redrawn among those of one anchor."""
    owned = _owned(space.fabric, anchor)
    changed = list(genes)
    for i, choice in enumerate(space.choices):
        if choice.name in owned:
            options = [o for o, value in enumerate(choice.values) if value in owned[choice.name]]
            changed[i] = int(rng.choice(options))
    return changed


def resized(space: SearchSpace, genes: Sequence[int], *, largest: bool) -> list[int]:
    """The raw genes with every numeric choice at its largest or smallest value; operators stay."""
    return [
        gene if isinstance(choice.values[0], str) else (len(choice.values) - 1 if largest else 0)
        for choice, gene in zip(space.choices, genes, strict=True)
    ]


def _owned(fabric: Fabric, anchor: str) -> dict[str, frozenset[str]]:
    return {
        f"{position.name}.{OPERATOR}": frozenset(c.name for c in position.candidates if c.anchor == anchor)
        for position in fabric.positions
    }
