"""SpaceFeatures: the FeatureMap of a SearchSpace, from what its decoded layers compute and move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from predictors.features import columns, features
from predictors.transfer.families.cell import cell_features
from predictors.transfer.families.gene import Gene
from predictors.transfer.families.widths import width_features
from predictors.transfer.tables import FeatureMap, FloatArray, IntArray
from searchspaces.space import Arch, SearchSpace

TOTAL = "all."
REFERENCE = 512  # random archs whose features set the unit of each column


@dataclass(frozen=True)
class SpaceFeatures:
    """Totals of each quantity (physical), sums by kind of layer, and one-hots of active choices."""

    space: SearchSpace
    views: int = 1

    @cached_property
    def _names(self) -> tuple[str, ...]:
        names = columns(self.space)
        totals = [name for name in names if name.startswith(TOTAL)]
        return (*totals, *(name for name in names if not name.startswith(TOTAL)))

    @cached_property
    def physical(self) -> frozenset[str]:
        """The totals."""
        return frozenset(name for name in self._names if name.startswith(TOTAL))

    @cached_property
    def dims(self) -> Mapping[str, int]:
        """A column per total, then the blocks ``kinds`` and ``options``."""
        totals = {name: 1 for name in self._names if name in self.physical}
        options = sum(len(choice.values) for choice in self.space.choices)
        return {**totals, "kinds": len(self._names) - len(totals), "options": options}

    @cached_property
    def _units(self) -> FloatArray:
        """Root mean square of each quantity over random archs; 1 where it is always zero."""
        rng = np.random.default_rng([REFERENCE])
        archs = [self.space.sample(rng) for _ in range(REFERENCE)]
        rms = np.sqrt(np.mean(np.square(features(self.space, archs, self._names)), axis=0))
        return np.where(rms > 0, rms, 1.0)

    def matrix(self, genes: IntArray, view: int) -> FloatArray:  # noqa: ARG002 — there is one view
        """All blocks side by side, (n, sum of dims)."""
        archs = [self.space.arch(row) for row in genes.tolist()]
        quantities = features(self.space, archs, self._names) / self._units
        return np.hstack([quantities, self.space.encode(archs)])

    def combine(self, genes: IntArray, weights: FloatArray) -> FloatArray:
        """Sum over the one view, (n,), row by row so that a prediction does not depend on its company."""
        return np.asarray(np.einsum("nd,d->n", self.matrix(genes, 0), weights[0]))


def space_features(space: SearchSpace) -> FeatureMap:
    """Tables where the genome is one of those that collapse to tables, else the decoded layers."""
    genes = [Gene(choice.name, choice.values) for choice in space.choices]
    return cell_features(genes) or width_features(genes) or SpaceFeatures(space)


def gene_matrix(archs: Sequence[Arch], width: int) -> IntArray:
    """Option indices (n, width)."""
    return np.array([arch.genes for arch in archs], dtype=np.int64).reshape(len(archs), width)
