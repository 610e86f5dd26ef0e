"""The pieces of hybrid archs: what frames the blocks, and each block with the stitch before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, product

import numpy as np

from searchspaces.hybrid_blocks import FAMILIES, OPERATORS, HybridConfig, block_spec
from searchspaces.parts import FloatArray, IntArray, Part, SizedLayer
from searchspaces.space import Value
from searchspaces.subnet import BlockSpec, DownsampleSpec, HeadSpec, StemSpec, StitchSpec

# What only blocks of some operators have, in the order of their choices.
OWN = {
    "mbconv": ("kernel",),
    "convnext": ("kernel",),
    "ssm": ("state", "directions"),
    "attention": ("heads",),
}


@dataclass(frozen=True)
class HybridParts:
    """Parts of the hybrid space of ``config``, whose choices have these ``names`` in order.

    The catalogue holds a frame (stem, downsamples, head) for every resolution and widths; then, stage
    by stage, a row for each resolution, width, variant of a block, and family that it is stitched from.
    """

    config: HybridConfig
    names: tuple[str, ...]

    @cached_property
    def catalogue(self) -> Sequence[Part]:
        """See Parts."""
        blocks = (part for stage in range(len(self.config.stages)) for part in self._blocks(stage))
        return [(), *self._frames(), *blocks]

    def rows(self, genes: IntArray) -> IntArray:
        """See Parts. The frame comes first, then a column per position, 0 where there is no block."""
        result = self._offsets + (genes @ self._coefficients).astype(np.int64)
        operators = genes[:, self._columns("operator")]
        present = genes[:, [self._index[f"s{s}.depth"] for s, _ in self._positions]] >= self._least_depth
        own = self._families[operators]
        result[:, 1:] += (1 + len(FAMILIES)) * self._first_variant[operators]
        family = np.zeros(len(genes), dtype=np.int64)  # of the block before; 0: there is none
        for j in range(len(self._positions)):
            result[:, 1 + j] += np.where(family == own[:, j], 0, family)  # 0: no stitch
            family = np.where(present[:, j], own[:, j], family)
        result[:, 1:] *= present
        return result

    @cached_property
    def _index(self) -> dict[str, int]:
        return {name: column for column, name in enumerate(self.names)}

    @cached_property
    def _positions(self) -> list[tuple[int, int]]:
        """Stage and block of every position."""
        return [(s, b) for s, stage in enumerate(self.config.stages) for b in range(stage.depths[-1])]

    def _columns(self, choice: str) -> list[int]:
        """Columns of this choice of every position."""
        return [self._index[f"s{s}.b{b}.{choice}"] for s, b in self._positions]

    @cached_property
    def _least_depth(self) -> IntArray:
        """The depth's gene from which on the block of a position is present."""
        return np.array([sum(d <= b for d in self.config.stages[s].depths) for s, b in self._positions])

    @cached_property
    def _offsets(self) -> IntArray:
        """The first row of frames, then that of each position's stage."""
        return np.array([1, *(self._starts[s] for s, _ in self._positions)])

    @cached_property
    def _coefficients(self) -> FloatArray:
        """By how many rows each gene moves on in each column, the operator excepted: (c, 1 + positions).

        What belongs to other operators than a block's is inactive, so its gene is 0.
        """
        result = np.zeros((len(self.names), 1 + len(self._positions)))
        widths = [len(stage.widths) for stage in self.config.stages]
        for s in range(len(widths)):
            result[self._index[f"s{s}.width"], 0] = np.prod(widths[s + 1 :])
        result[self._index["resolution"], 0] = np.prod(widths)
        for column, (s, b) in enumerate(self._positions, 1):
            step = 1 + len(FAMILIES)
            for own in sorted(set(OWN.values())):
                stride = step * len(self.config.expansions)
                for choice in reversed(own):
                    result[self._index[f"s{s}.b{b}.{choice}"], column] = stride
                    stride *= len(self._options(choice))
            result[self._index[f"s{s}.b{b}.expansion"], column] = step
            result[self._index[f"s{s}.width"], column] = step * len(self._variants)
            result[self._index["resolution"], column] = step * len(self._variants) * widths[s]
        return result

    @cached_property
    def _variants(self) -> list[dict[str, Value]]:
        """The values of every block but its width: by operator, what is its own, then expansion."""
        return [
            {"operator": operator, **dict(zip(OWN[operator], own, strict=True)), "expansion": expansion}
            for operator in OPERATORS
            for own in product(*(self._options(name) for name in OWN[operator]))
            for expansion in self.config.expansions
        ]

    def _options(self, name: str) -> tuple[int, ...]:
        plural = {"kernel": "kernels", "heads": "heads", "state": "states", "directions": "directions"}
        return tuple(getattr(self.config, plural[name]))

    @cached_property
    def _first_variant(self) -> IntArray:
        """The row of ``_variants`` that each operator begins at."""
        operators = [variant["operator"] for variant in self._variants]
        return np.array([operators.index(operator) for operator in OPERATORS])

    @cached_property
    def _families(self) -> IntArray:
        """For each operator its family's position in FAMILIES, from 1 on."""
        kinds = {variant["operator"]: self._block(variant, 0, 0).family for variant in self._variants}
        return np.array([1 + FAMILIES.index(kinds[operator]) for operator in OPERATORS])

    def _block(self, variant: dict[str, Value], stage: int, width: int) -> BlockSpec:
        values = {f"b.{name}": value for name, value in variant.items()}
        return block_spec(self.config, values, "b", self.config.stages[stage].widths[width])

    @cached_property
    def _starts(self) -> list[int]:
        """The row of each stage's first block."""
        framed = 1 + len(self.config.resolutions) * int(np.prod([len(s.widths) for s in self.config.stages]))
        each = len(self.config.resolutions) * len(self._variants) * (1 + len(FAMILIES))
        return list(
            accumulate((each * len(stage.widths) for stage in self.config.stages[:-1]), initial=framed)
        )

    def _sizes(self, resolution: int) -> list[int]:
        """Side lengths of the maps within each stage."""
        size, sizes = -(-resolution // self.config.stem_stride), []
        for s, stage in enumerate(self.config.stages):
            size = -(-size // stage.stride) if s > 0 else size
            sizes.append(size)
        return sizes

    def _frames(self) -> Iterator[Part]:
        stages = self.config.stages
        for resolution, *widths in product(self.config.resolutions, *(stage.widths for stage in stages)):
            sizes = self._sizes(resolution)
            entries = (
                SizedLayer(DownsampleSpec(widths[s - 1], widths[s], stages[s].stride), sizes[s - 1])
                for s in range(1, len(stages))
            )
            stem = SizedLayer(StemSpec(widths[0], self.config.stem_stride), resolution)
            yield (stem, *entries, SizedLayer(HeadSpec(widths[-1]), sizes[-1]))

    def _blocks(self, stage: int) -> Iterator[Part]:
        widths = self.config.stages[stage].widths
        for resolution, width in product(self.config.resolutions, range(len(widths))):
            size = self._sizes(resolution)[stage]
            for variant in self._variants:
                spec = self._block(variant, stage, width)
                block = SizedLayer(spec, size)
                yield (block,)
                for family in FAMILIES:
                    stitch = StitchSpec(family, spec.family, widths[width], widths[width])
                    yield (SizedLayer(stitch, size), block)
