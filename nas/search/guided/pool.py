"""Pools of candidates: archs with their features and what is known of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nas.pareto import FloatArray, IntArray
from nas.search.guided.illuminate import Cost, illuminate
from nas.search.guided.views import Views, views_of
from nas.search.knowledge import Knowledge
from predictors.errors import InvalidValueError
from searchspaces.genes import archs_of, canonical, enumerate_genes, option_counts, sample_genes
from searchspaces.space import Arch, SearchSpace

ENUMERABLE = 100_000  # spaces up to this size are searched as a whole
BASE_SAMPLE = 768  # archs that stand for a larger space: the first design, the range of what is known
REMEMBERED = 200_000  # predictions kept

Known = tuple[float, float]  # mean and standard deviation in the metric's own unit


@dataclass(frozen=True, slots=True)
class Pool:
    """N distinct archs: genes (N, c), features (N, d) by view, and by known metric mean and std (N, 2)."""

    genes: IntArray
    views: Mapping[str, FloatArray]
    known: Mapping[str, FloatArray]

    def take(self, index: IntArray) -> Pool:
        """The archs at these positions."""
        return Pool(
            self.genes[index],
            {name: view[index] for name, view in self.views.items()},
            {metric: values[index] for metric, values in self.known.items()},
        )


class Pools:
    """Makes pools of one space; features and predictions depend on nothing but the archs."""

    def __init__(self, space: SearchSpace, knowledge: Knowledge) -> None:
        self._space = space
        self._predictors = dict(knowledge.predictors)
        self._hints = tuple(knowledge.hints)
        self._remembered: dict[str, dict[Arch, Known]] = {metric: {} for metric in self._predictors}

    @cached_property
    def enumerable(self) -> bool:
        """Whether ``base`` holds the whole space."""
        return self._space.size() <= ENUMERABLE

    @cached_property
    def base(self) -> Pool:
        """All connected archs where the space is enumerable; otherwise its ends and archs spread evenly
        over every known metric, random ones where nothing is known.
        """
        genes = enumerate_genes(self._space) if self.enumerable else self._spread()
        connected = self._space.connected(genes)
        return self.of(genes[connected] if connected.any() else genes)

    @cached_property
    def ends(self) -> IntArray:
        """Genes (0 to 2, c) of the smallest and the largest arch, where connected."""
        largest = option_counts(self._space) - 1
        genes = np.unique(canonical(self._space, np.stack([np.zeros_like(largest), largest])), axis=0)
        return np.asarray(genes[self._space.connected(genes)])

    def of(self, genes: IntArray) -> Pool:
        """The pool of these canonical genes (N, c).

        Raises InvalidValueError if a predictor gives values that are not finite.
        """
        known = {metric: self._predict(metric, genes) for metric in self._predictors}
        return Pool(genes, self.views(genes), known)

    @cached_property
    def views(self) -> Views:
        """Genes (N, c) to standardised features by view."""
        return views_of(self._space, self._hints, enumerate_genes(self._space) if self.enumerable else None)

    def _spread(self) -> IntArray:
        rng = np.random.default_rng(BASE_SAMPLE)
        rows = np.concatenate([self.ends, sample_genes(self._space, BASE_SAMPLE, rng)])
        connected = self._space.connected(rows)
        rows = rows[connected] if connected.any() else rows
        spread = [
            illuminate(self._space, rows, self._cost(metric), BASE_SAMPLE // len(self._predictors), rng)
            for metric in self._predictors
        ]
        return np.unique(np.concatenate([self.ends, *spread] if spread else [rows]), axis=0)

    def _cost(self, metric: str) -> Cost:
        return lambda genes: self._predict(metric, genes)[:, 0]

    def _predict(self, metric: str, genes: IntArray) -> FloatArray:
        """Means and standard deviations (N, 2); every arch is predicted once."""
        remembered = self._remembered[metric]
        archs = archs_of(self._space, genes)
        new = [arch for arch in dict.fromkeys(archs) if arch not in remembered]
        if len(remembered) + len(new) > REMEMBERED:
            remembered.clear()
            new = list(dict.fromkeys(archs))
        if new:
            prediction = self._predictors[metric].predict(new)
            values = np.stack([prediction.mean, prediction.std], axis=1)
            if values.shape != (len(new), 2) or not np.isfinite(values).all():
                raise InvalidValueError(f"the predictor of {metric!r} must give finite values for every arch")
            remembered.update(zip(new, map(tuple, values.tolist()), strict=True))
        return np.array([remembered[arch] for arch in archs], dtype=np.float64).reshape(len(archs), 2)
