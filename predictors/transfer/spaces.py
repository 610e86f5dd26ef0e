"""SpaceFeatures: the FeatureMap of a SearchSpace, from what its decoded layers compute and move."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from predictors.features import columns, features, features_of_genes, part_features
from predictors.linear_gp import fit_linear
from predictors.quality import rank_correlations
from predictors.transfer.families.cell import cell_features
from predictors.transfer.families.gene import Gene
from predictors.transfer.families.widths import width_features
from predictors.transfer.sources import (
    Scale,
    SourceFit,
    SourceFitter,
    SourceMeasurements,
    Standard,
    fit_sources,
)
from predictors.transfer.tables import FeatureMap, FloatArray, IntArray
from searchspaces.space import Arch, SearchSpace

TOTAL = "all."
PHYSICAL_SHARE = 0.5  # of totals that take part in a difference: factors of kinds explain most of it
REFERENCE = 512  # random archs whose features set the unit of each column


@dataclass(frozen=True)
class SpaceFeatures:
    """Totals of each quantity over all layers (physical), then a block for each kind of layer.

    What distinguishes archs beyond their quantities is no feature: one-hots of the choices made a
    linear model of a hundred measurements worse.
    """

    space: SearchSpace
    views: int = 1

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(sorted(columns(self.space), key=lambda name: not name.startswith(TOTAL)))

    @cached_property
    def physical(self) -> frozenset[str]:
        """The totals."""
        return frozenset(name for name in self._names if name.startswith(TOTAL))

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """The blocks that are no totals."""
        return tuple(name for name in self.dims if name not in self.physical)

    @cached_property
    def dims(self) -> Mapping[str, int]:
        """A column per total, then the quantities of each kind."""
        return Counter(name if name in self.physical else _kind(name) for name in self._names)

    @cached_property
    def _units(self) -> FloatArray:
        """Root mean square of each quantity over random archs; 1 where it is always zero."""
        rng = np.random.default_rng([REFERENCE])
        archs = [self.space.sample(rng) for _ in range(REFERENCE)]
        rms = np.sqrt(np.mean(np.square(features(self.space, archs, self._names)), axis=0))
        return np.where(rms > 0, rms, 1.0)

    def matrix(self, genes: IntArray, view: int) -> FloatArray:  # noqa: ARG002 — there is one view
        """All blocks side by side, (n, sum of dims)."""
        return features_of_genes(self.space, genes, self._names) / self._units

    def combine(self, genes: IntArray, weights: FloatArray) -> FloatArray:
        """Sum over the one view, (n,), row by row so that a prediction does not depend on its company."""
        if self.space.parts is None:
            return np.asarray(np.einsum("nd,d->n", self.matrix(genes, 0), weights[0]))
        parts = part_features(self.space, self._names) @ (weights[0] / self._units)
        return np.asarray(parts[self.space.parts.rows(genes)].sum(axis=1))

    def by_kind(self, weights: FloatArray) -> FloatArray:
        """The same function of archs, weights (d,), with what rests on totals moved to the kinds' columns."""
        result, row = weights.copy(), {name: i for i, name in enumerate(self._names)}
        for name, i in row.items():
            if name in self.physical:
                result[i] = 0.0
            else:
                total = row[f"{TOTAL}{_quantity(name)}"]
                result[i] += weights[total] * self._units[i] / self._units[total]
        return result


def _kind(name: str) -> str:
    return name.partition(".")[0]


def _quantity(name: str) -> str:
    return name.partition(".")[2]


def space_features(space: SearchSpace) -> FeatureMap:
    """Tables where the genome is one of those that collapse to tables, else the decoded layers."""
    genes = [Gene(choice.name, choice.values) for choice in space.choices]
    return cell_features(genes) or width_features(genes) or SpaceFeatures(space)


def source_fitter(features: FeatureMap) -> SourceFitter:
    """How sources are fitted in these features."""
    return (
        partial(fit_layered, features)
        if isinstance(features, SpaceFeatures)
        else partial(fit_sources, features)
    )


def fit_layered(
    features: SpaceFeatures, standard: Standard, sources: Sequence[SourceMeasurements]
) -> SourceFit:
    """Fit every source as ``LatencyPredictor`` does, split by kind of layer.

    On ten measurements a new device may then differ from the sources by a factor for each kind.
    """
    weights, agreements = [], []
    for source in sources:
        found = fit_linear(features.matrix(source.genes, 0), source.values)
        raw = features.by_kind(found.posterior.mean[:-1])
        weights.append(raw * standard.unit / source.values.mean())
        agreements.append(rank_correlations(found.loo_mean, source.values)[0])
    return SourceFit(
        Scale.LINEAR,
        np.column_stack(weights),
        float(np.mean(agreements)),
        split=features.kinds,
        physical_share=PHYSICAL_SHARE,
    )


def gene_matrix(archs: Sequence[Arch], width: int) -> IntArray:
    """Option indices (n, width)."""
    return np.array([arch.genes for arch in archs], dtype=np.int64).reshape(len(archs), width)
