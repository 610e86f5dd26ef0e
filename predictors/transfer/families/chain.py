"""Any genome: per-gene one-hots, counts of options over genes that share them, numbers as they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from predictors.transfer.families.gene import Gene
from predictors.transfer.tables import Factor, FloatArray, TableFeatures, one_hot

STAGES = 4  # a long chain is cut into so many runs of about equal length


def chain_features(genes: Sequence[Gene]) -> TableFeatures:
    """Blocks, coarse to fine: size, counts (over all genes and per run of them), one-hots.

    ``size`` has one column per kind of gene, kinds being genes with the same options, and sums how
    far along its options each gene is: by value for numbers, else the share of options below it
    (options are listed cheapest first) — a guess of cost that the finer blocks correct.
    """
    kinds = list(dict.fromkeys(gene.values for gene in genes))
    firsts = np.cumsum([0, *(len(kind) for kind in kinds)])
    wide = int(firsts[-1])
    dims = {
        "size": len(kinds),
        "counts": wide,
        "run_counts": STAGES * wide,
        "options": sum(len(gene.values) for gene in genes),
    }
    factors, option = [], 0
    for column, gene in enumerate(genes):
        kind = kinds.index(gene.values)
        run = column * STAGES // len(genes)
        hot = one_hot(np.arange(len(gene.values)), len(gene.values))[None]
        first = int(firsts[kind])
        blocks = {
            "size": (kind, progress(gene)[None, :, None]),
            "counts": (first, hot),
            "run_counts": (run * wide + first, hot),
            "options": (option, hot),
        }
        factors.append(Factor((column,), (len(gene.values),), blocks))
        option += len(gene.values)
    return TableFeatures(tuple(factors), dims, frozenset())


def progress(gene: Gene) -> FloatArray:
    """How far along its options each option lies, from 0 to 1."""
    if not gene.numeric:
        return np.linspace(0, 1, len(gene.values))
    values = np.array(gene.values, dtype=np.float64)
    spread = np.ptp(values)
    return (values - values.min()) / spread if spread > 0 else np.zeros(len(values))
