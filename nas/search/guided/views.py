"""Views: the space's structural features on one scale, and all of them together."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nas.pareto import FloatArray, IntArray
from searchspaces.genes import sample_genes
from searchspaces.space import SearchSpace

REFERENCE_ARCHS = 1024
TOGETHER = "together"  # the view that joins the space's own
CONSTANT = 1e-9


class Views:
    """Standardises the features of a space against archs of that space.

    Every column gets mean 0 and variance 1 over the reference archs, every view total variance
    1, so that one set of length scales fits all views; columns that never vary are dropped.
    """

    def __init__(self, space: SearchSpace, reference: IntArray | None = None) -> None:
        """``reference``: canonical genes (n, c) to standardise against; random archs by default."""
        self._space = space
        if reference is None:
            reference = sample_genes(space, REFERENCE_ARCHS, np.random.default_rng(REFERENCE_ARCHS))
        self._shift: dict[str, FloatArray] = {}
        self._factor: dict[str, FloatArray] = {}
        for name, view in space.features(reference).items():
            std = view.std(axis=0)
            varying = std > CONSTANT
            self._shift[name] = view.mean(axis=0)
            scale = np.sqrt(max(1, int(varying.sum())))
            self._factor[name] = np.where(varying, 1.0 / np.where(varying, std * scale, 1.0), 0.0)

    def __call__(self, genes: IntArray) -> Mapping[str, FloatArray]:
        """Name to features (n, d) of the archs with these genes."""
        raw = self._space.features(genes)
        views = {
            name: ((view - self._shift[name]) * self._factor[name])[:, self._factor[name] > 0]
            for name, view in raw.items()
        }
        return {**views, TOGETHER: np.hstack(list(views.values()))}
