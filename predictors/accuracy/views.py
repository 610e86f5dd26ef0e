"""A space's structural features on one scale, view by view."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from searchspaces.genes import IntArray, gene_matrix, sample_genes
from searchspaces.space import Arch, SearchSpace

FloatArray = NDArray[np.float64]
REFERENCE_ARCHS = 1024  # random archs that set the scale of each column
CONSTANT = 1e-9


class ScaledViews:
    """``SearchSpace.features`` standardised: columns of mean 0 and equal variance, each view of variance 1.

    The scale comes from random archs of the space, so it is the same wherever the predictor runs.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        reference = sample_genes(space, REFERENCE_ARCHS, np.random.default_rng([REFERENCE_ARCHS]))
        views = space.features(reference)
        self.names = tuple(sorted(views))
        self._scales = {name: _scale(views[name]) for name in self.names}

    def genes(self, archs: Sequence[Arch]) -> IntArray:
        """Genes (n, c). Raises InvalidArchError for an arch of another space."""
        return gene_matrix(self._space, archs)

    def __call__(self, genes: IntArray) -> list[FloatArray]:
        """Features (n, d) of every view, in the order of ``names``, for canonical genes (n, c)."""
        views = self._space.features(genes)
        return [(views[name] - shift) * factor for name, (shift, factor) in self._scales.items()]


def _scale(view: FloatArray) -> tuple[FloatArray, FloatArray]:
    """What to subtract from each column, and then to multiply it with; 0 for one that never varies."""
    std = view.std(axis=0)
    varying = std > CONSTANT
    width = np.sqrt(max(1, int(varying.sum())))
    return view.mean(axis=0), np.where(varying, 1.0 / np.where(varying, std * width, 1.0), 0.0)
