"""Chains of inverted residual operators named ``kK_eE``, ``kK_eE_gG`` or ``skip`` (FBNet, arXiv 1812.03443).

A chain of 22 takes FBNet's widths and strides; any other length is taken as layers of equal cost.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from predictors.transfer.families.gene import Gene
from predictors.transfer.families.layers import (
    PHYSICAL,
    InvertedResidual,
    amounts,
    shortcut_amounts,
    unit_columns,
)
from predictors.transfer.tables import Factor, FloatArray, TableFeatures, one_hot

PATTERN = re.compile(r"k(\d+)_e(\d+)(?:_g(\d+))?")
SKIP = "skip"
# (width, layers, stride of the first layer) of FBNet's searchable stages, table 1 of the paper.
STAGES = ((16, 1, 1), (24, 4, 2), (32, 4, 2), (64, 4, 2), (112, 4, 1), (184, 4, 2), (352, 1, 1))
STEM_WIDTH, STEM_SIZE = 16, 112
EQUAL_STAGES = 6  # of a chain of another length
ATTRIBUTES = 6


def fbnet_features(genes: Sequence[Gene]) -> TableFeatures | None:
    """Features of such chains, None for other choices."""
    options = [str(value) for value in genes[0].values]
    if any(gene.values != genes[0].values for gene in genes):
        return None
    if not all(option == SKIP or PATTERN.fullmatch(option) for option in options) or len(genes) < 2:
        return None
    layers, ends = _skeleton(len(genes))
    k, stages, n = len(options), len(ends) - 1, len(genes)
    physical = unit_columns(np.array([[_amounts(layer, option) for option in options] for layer in layers]))
    attributes = np.array([_attributes(option) for option in options])
    dims = {
        **dict.fromkeys(PHYSICAL, 1),
        "stage_amounts": 4 * stages,
        "counts": k,
        "attributes": ATTRIBUTES,
        "stage_attributes": ATTRIBUTES * stages,
        "layer_attributes": ATTRIBUTES * n,
        "stage_counts": k * stages,
        "options": k * n,
    }
    hot = one_hot(np.arange(k), k)
    factors = []
    for i in range(n):
        stage = int(np.searchsorted(ends, i, side="right")) - 1
        tables: dict[str, tuple[int, FloatArray]] = {
            name: (0, physical[i][:, j : j + 1]) for j, name in enumerate(PHYSICAL)
        }
        tables |= {
            "stage_amounts": (4 * stage, physical[i]),
            "counts": (0, hot),
            "attributes": (0, attributes),
            "stage_attributes": (ATTRIBUTES * stage, attributes),
            "layer_attributes": (ATTRIBUTES * i, attributes),
            "stage_counts": (k * stage, hot),
            "options": (k * i, hot),
        }
        blocks = {name: (first, table[None]) for name, (first, table) in tables.items()}
        factors.append(Factor((i,), (k,), blocks))
    return TableFeatures(tuple(factors), dims, frozenset(PHYSICAL))


def _skeleton(length: int) -> tuple[list[InvertedResidual], list[int]]:
    """The layers and the stages' first positions, the length last."""
    if length != sum(count for _, count, _ in STAGES):
        ends = [round(length * i / EQUAL_STAGES) for i in range(EQUAL_STAGES + 1)]
        return [InvertedResidual(64, 64, 1, 28)] * length, sorted(set(ends))
    layers, width, size = [], STEM_WIDTH, float(STEM_SIZE)
    for out_width, count, stride in STAGES:
        for position in range(count):
            layer = InvertedResidual(width, out_width, stride if position == 0 else 1, size)
            layers.append(layer)
            width, size = out_width, size / layer.stride
    ends = np.cumsum([0, *(count for _, count, _ in STAGES)]).tolist()
    assert all(a < b for a, b in pairwise(ends))
    return layers, ends


def _parse(option: str) -> tuple[int, int, int] | None:
    """Kernel, expansion, groups; None for a skip."""
    match = PATTERN.fullmatch(option)
    return None if match is None else (int(match[1]), int(match[2]), int(match[3] or 1))


def _amounts(layer: InvertedResidual, option: str) -> list[float]:
    parsed = _parse(option)
    return shortcut_amounts(layer) if parsed is None else amounts(layer, *parsed)


def _attributes(option: str) -> list[float]:
    """Runs at all, expansion, depthwise work, large kernel, grouped, pointwise work."""
    parsed = _parse(option)
    if parsed is None:
        return [0.0] * ATTRIBUTES
    kernel, expansion, groups = parsed
    depthwise = expansion * kernel**2 / 9
    return [1.0, expansion, depthwise, float(kernel > 3), float(groups > 1), expansion / groups]
