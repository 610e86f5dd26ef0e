"""A space's structural features on one scale, view by view."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from searchspaces.genes import IntArray, gene_matrix, sample_genes
from searchspaces.space import Arch, SearchSpace

FloatArray = NDArray[np.float64]
REFERENCE_ARCHS = 1024  # random archs that set the scale of each column
CONSTANT = 1e-9


class Views(Protocol):
    """What a Gaussian process sees of archs, view by view."""

    names: tuple[str, ...]

    def genes(self, archs: Sequence[Arch]) -> IntArray:
        """Genes (n, c). Raises InvalidArchError for an arch of another space."""
        ...

    def __call__(self, genes: IntArray) -> list[FloatArray]:
        """Features (n, d) of every view, in the order of ``names``, for canonical genes (n, c)."""
        ...


class ScaledViews:
    """``SearchSpace.features`` standardised: columns of mean 0 and equal variance, each view of variance 1.

    The scale comes from random archs of the space, so it is the same wherever the predictor runs.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        views = space.features(reference_genes(space))
        self.names = tuple(sorted(views))
        self._scales = {name: _scale(views[name]) for name in self.names}

    def genes(self, archs: Sequence[Arch]) -> IntArray:
        """See Views."""
        return gene_matrix(self._space, archs)

    def __call__(self, genes: IntArray) -> list[FloatArray]:
        """See Views."""
        views = self._space.features(genes)
        return [(views[name] - shift) * factor for name, (shift, factor) in self._scales.items()]


class WithEstimate:
    """The views of a space and one more: a cheaper estimate of the target, a number per arch.

    A Gaussian process on them is that of multi-fidelity regression (Kennedy and O'Hagan 2000): the
    linear part of the last view scales the estimate, the other views say what it misses.
    """

    def __init__(self, space: SearchSpace, estimate: Callable[[IntArray], FloatArray]) -> None:
        self._views = ScaledViews(space)
        self._estimate = estimate
        self.names = (*self._views.names, "estimate")
        self._shift, self._factor = _scale(estimate(reference_genes(space))[:, None])

    def genes(self, archs: Sequence[Arch]) -> IntArray:
        """See Views."""
        return self._views.genes(archs)

    def __call__(self, genes: IntArray) -> list[FloatArray]:
        """See Views."""
        return [*self._views(genes), (self._estimate(genes)[:, None] - self._shift) * self._factor]


def reference_genes(space: SearchSpace) -> IntArray:
    """Genes (n, c) of the random archs that set scales, always the same."""
    return sample_genes(space, REFERENCE_ARCHS, np.random.default_rng([REFERENCE_ARCHS]))


def _scale(view: FloatArray) -> tuple[FloatArray, FloatArray]:
    """What to subtract from each column, and then to multiply it with; 0 for one that never varies."""
    std = view.std(axis=0)
    varying = std > CONSTANT
    width = np.sqrt(max(1, int(varying.sum())))
    return view.mean(axis=0), np.where(varying, 1.0 / np.where(varying, std * width, 1.0), 0.0)
