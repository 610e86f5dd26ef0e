"""Raw genes of subnets: those within one anchor, the largest and the smallest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from searchspaces.space import SearchSpace


def within_anchor(
    space: SearchSpace, genes: Sequence[int], anchor: str, rng: np.random.Generator
) -> list[int]:
    """The raw genes with every position's candidate redrawn among those of one anchor."""
    owned = space.fabric.within(anchor)
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
