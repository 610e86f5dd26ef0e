"""Elastic MobileNets: kernel and expansion per layer, depth per unit, resolution (OFA, arXiv 1908.09791).

A layer beyond its unit's depth does not run, whatever its genes say. Every amount is taken once as
it is and once times the pixels: a layer's cost is a part that is launched and a part that is computed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from predictors.transfer.families.gene import Gene
from predictors.transfer.families.layers import PHYSICAL, InvertedResidual, amounts, unit_columns
from predictors.transfer.tables import Factor, FloatArray, TableFeatures, combinations, one_hot

# Widths of OFA's MobileNetV3-Large, the stem's first, and where its units halve the resolution.
WIDTHS = (16, 24, 40, 80, 112, 160)
STRIDES = (2, 2, 2, 1, 2)
ATTRIBUTES = 5
PREFIXES = ("kernel", "expand", "depth")
DEFAULT_RESOLUTION = 224.0


@dataclass(frozen=True, slots=True)
class _Skeleton:
    """Columns of the genes by prefix, in the order of their numbers; ``resolution`` may be missing."""

    kernels: tuple[int, ...]
    expansions: tuple[int, ...]
    depths: tuple[int, ...]
    resolution: int | None

    @property
    def per_unit(self) -> int:
        return len(self.kernels) // len(self.depths)


def ofa_features(genes: Sequence[Gene]) -> TableFeatures | None:
    """Features of such genomes, None for other choices."""
    skeleton = _skeleton(genes)
    if skeleton is None:
        return None
    n, units = len(skeleton.kernels), len(skeleton.depths)
    k = len(genes[skeleton.kernels[0]].values) * len(genes[skeleton.expansions[0]].values)
    dims = {
        **dict.fromkeys(PHYSICAL, 1),
        "unit_amounts": 4 * units,
        "resolution": 3,
        "attributes": ATTRIBUTES,
        "pixel_attributes": ATTRIBUTES,
        "unit_attributes": ATTRIBUTES * units,
        "unit_pixel_attributes": ATTRIBUTES * units,
        "layer_attributes": ATTRIBUTES * n,
        "layer_pixel_attributes": ATTRIBUTES * n,
        "options": k * n,
        "pixel_options": k * n,
    }
    factors = [_layer(genes, skeleton, i) for i in range(n)]
    largest = np.max([np.abs(f.blocks["unit_amounts"][1]).max((0, 1)) for f in factors], axis=0)
    factors = [_scaled(factor, largest) for factor in factors]
    if skeleton.resolution is not None:
        sides = np.array(genes[skeleton.resolution].values, dtype=np.float64)
        factors.append(_resolution(skeleton.resolution, sides))
        dims["sides"] = len(sides)
    return TableFeatures(tuple(factors), dims, frozenset(PHYSICAL))


def _skeleton(genes: Sequence[Gene]) -> _Skeleton | None:
    columns: dict[str, dict[int, int]] = {prefix: {} for prefix in PREFIXES}
    resolution = None
    for column, gene in enumerate(genes):
        match = re.fullmatch(r"([a-z]+)_(\d+)", gene.name)
        if gene.name == "resolution" and gene.numeric:
            resolution = column
        elif match and match[1] in columns and gene.numeric:
            columns[match[1]][int(match[2])] = column
        else:
            return None
    kernels, expansions, depths = (tuple(found[i] for i in sorted(found)) for found in columns.values())
    if not depths or len(kernels) != len(expansions) or len(kernels) % len(depths) or not kernels:
        return None
    for group in (kernels, expansions):
        if len({genes[column].values for column in group}) > 1:
            return None
    return _Skeleton(kernels, expansions, depths, resolution)


def _layer(genes: Sequence[Gene], skeleton: _Skeleton, i: int) -> Factor:
    """The factor of layer i: kernel, expansion, its unit's depth, and resolution."""
    unit, position = divmod(i, skeleton.per_unit)
    columns = [skeleton.kernels[i], skeleton.expansions[i], skeleton.depths[unit]]
    if skeleton.resolution is not None:
        columns.append(skeleton.resolution)
    sizes = tuple(len(genes[column].values) for column in columns)
    options = combinations(sizes)
    values = np.column_stack(
        [np.array(genes[c].values, dtype=np.float64)[options[:, j]] for j, c in enumerate(columns)]
    )
    kernel, expansion, depth = values[:, 0], values[:, 1], values[:, 2]
    side = values[:, 3] if skeleton.resolution is not None else np.full(len(values), DEFAULT_RESOLUTION)
    runs = (position < depth).astype(np.float64)[:, None]
    pixels = np.square(side / DEFAULT_RESOLUTION)[:, None]
    physical = runs * _physical(kernel, expansion, side, unit, position, len(skeleton.depths))
    work = expansion * kernel**2 / 100
    attributes = runs * np.column_stack([np.ones(len(values)), expansion / 4, work, kernel == 5, kernel == 7])
    hot = runs * one_hot(options[:, 0] * sizes[1] + options[:, 1], sizes[0] * sizes[1])
    tables = {name: (0, physical[:, j : j + 1]) for j, name in enumerate(PHYSICAL)}
    tables |= {"unit_amounts": (4 * unit, physical)}
    for prefix, scale in (("", np.ones_like(pixels)), ("pixel_", pixels)):
        tables |= {
            f"{prefix}attributes": (0, attributes * scale),
            f"unit_{prefix}attributes": (ATTRIBUTES * unit, attributes * scale),
            f"layer_{prefix}attributes": (ATTRIBUTES * i, attributes * scale),
            f"{prefix}options": (hot.shape[1] * i, hot * scale),
        }
    return Factor(tuple(columns), sizes, {name: (at, table[None]) for name, (at, table) in tables.items()})


def _physical(
    kernel: FloatArray, expansion: FloatArray, side: FloatArray, unit: int, position: int, units: int
) -> FloatArray:
    """Amounts (n, 4) of one layer; a skeleton of other than five units is taken as of equal widths."""
    known = units == len(STRIDES)
    width = WIDTHS[unit + 1] if known else 64
    strided = known and position == 0
    in_width = WIDTHS[unit] if strided else width
    stride = STRIDES[unit] if strided else 1
    reduction = 2 * np.prod(STRIDES[:unit] if strided else STRIDES[: unit + 1]) if known else 16
    rows = [
        amounts(InvertedResidual(in_width, width, stride, s / float(reduction)), int(k), float(e))
        for k, e, s in zip(kernel, expansion, side, strict=True)
    ]
    return np.array(rows)


def _scaled(factor: Factor, largest: FloatArray) -> Factor:
    """The factor with its physical amounts in units of the largest layer."""
    blocks = dict(factor.blocks)
    first, table = blocks["unit_amounts"]
    blocks["unit_amounts"] = (first, table / largest)
    for j, name in enumerate(PHYSICAL):
        blocks[name] = (0, blocks[name][1] / largest[j])
    return Factor(factor.columns, factor.sizes, blocks)


def _resolution(column: int, sides: FloatArray) -> Factor:
    """What the resolution adds by itself: stem, head and reading the image."""
    ratio = sides / DEFAULT_RESOLUTION
    curve = unit_columns(np.column_stack([ratio, ratio**2, ratio**4]))
    hot = one_hot(np.arange(len(sides)), len(sides))
    return Factor((column,), (len(sides),), {"resolution": (0, curve[None]), "sides": (0, hot[None])})
