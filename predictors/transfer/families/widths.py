"""Chains of widths (NATS-Bench's size space, arXiv 2009.00437): a layer costs width times width."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from predictors.transfer.families.gene import Gene
from predictors.transfer.tables import Factor, FloatArray, TableFeatures, combinations, one_hot

PHYSICAL = ("channels", "products", "squares")


def width_features(genes: Sequence[Gene]) -> TableFeatures | None:
    """Features of such chains, None for other choices. A factor holds a width and the next one."""
    named = all(gene.name.startswith("width_") and gene.numeric for gene in genes)
    if not named or len(genes) < 2:
        return None
    n = len(genes)
    sizes = [len(gene.values) for gene in genes]
    firsts = np.cumsum([0, *sizes])
    pair_firsts = np.cumsum([0, *(sizes[i] * sizes[i + 1] for i in range(n - 1))])
    dims = {
        **dict.fromkeys(PHYSICAL, 1),
        "amounts": 3 * n,
        "options": int(firsts[-1]),
        "pairs": int(pair_firsts[-1]),
    }
    top = max(float(value) for gene in genes for value in gene.values)
    factors = []
    for i in range(n):
        following = i + 1 < n
        columns = (i, i + 1) if following else (i,)
        options = combinations([sizes[column] for column in columns])
        width = _values(genes[i])[options[:, 0]] / top
        next_width = _values(genes[i + 1])[options[:, 1]] / top if following else np.zeros(len(options))
        physical = np.column_stack([width, width * next_width, width**2])
        blocks: dict[str, tuple[int, FloatArray]] = {
            name: (0, physical[:, j : j + 1]) for j, name in enumerate(PHYSICAL)
        }
        blocks["amounts"] = (3 * i, physical)
        blocks["options"] = (int(firsts[i]), one_hot(options[:, 0], sizes[i]))
        if following:
            blocks["pairs"] = (int(pair_firsts[i]), np.eye(len(options)))
        factors.append(
            Factor(
                columns,
                tuple(sizes[column] for column in columns),
                {name: (first, table[None]) for name, (first, table) in blocks.items()},
            )
        )
    return TableFeatures(tuple(factors), dims, frozenset(PHYSICAL))


def _values(gene: Gene) -> FloatArray:
    return np.array(gene.values, dtype=np.float64)
