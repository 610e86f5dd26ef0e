"""Views: what the surrogate learns from, standardised."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from nas.pareto import FloatArray, IntArray
from nas.search.knowledge import Hint
from searchspaces.genes import one_hot, sample_genes
from searchspaces.space import SearchSpace

REFERENCE_ARCHS = 1024
TOGETHER = "together"  # the view that joins the space's own
HINTED = "hinted"  # the view of hints and genes
HINT_WEIGHT = 0.25  # variance of the hints beside that of the genes, which is 1
CONSTANT = 1e-9

# Maps canonical genes (n, c) to features (n, d) by view, in units that suit one set of length scales.
Views: TypeAlias = Callable[[IntArray], Mapping[str, FloatArray]]


def views_of(space: SearchSpace, hints: Sequence[Hint] = (), reference: IntArray | None = None) -> Views:
    """The views of a space; ``reference``: genes (n, c) to standardise against, by default random ones."""
    if reference is None:
        reference = sample_genes(space, REFERENCE_ARCHS, np.random.default_rng(REFERENCE_ARCHS))
    structural = StructuralViews(space, reference)
    return HintedViews(space, structural, hints, reference) if hints else structural


class StructuralViews:
    """The structural features of a space, and all of them together."""

    def __init__(self, space: SearchSpace, reference: IntArray) -> None:
        self._space = space
        self._scalings = {name: Scaling(view) for name, view in space.features(reference).items()}

    def __call__(self, genes: IntArray) -> Mapping[str, FloatArray]:
        """See Views."""
        raw = self._space.features(genes)
        views = {name: self._scalings[name](view) for name, view in raw.items()}
        return {**views, TOGETHER: np.hstack(list(views.values()))}


class HintedViews:
    """The structural views, and one of hints and one-hot genes.

    Structural features make up for not knowing which genes matter, which is what hints tell.
    """

    def __init__(
        self, space: SearchSpace, structural: Views, hints: Sequence[Hint], reference: IntArray
    ) -> None:
        self._space = space
        self._structural = structural
        self._hints = tuple(hints)
        self._of_hints = Scaling(self._hinted(reference))
        self._of_genes = Scaling(one_hot(space, reference))

    def __call__(self, genes: IntArray) -> Mapping[str, FloatArray]:
        """See Views."""
        hints = np.sqrt(HINT_WEIGHT) * self._of_hints(self._hinted(genes))
        hinted = np.hstack([hints, self._of_genes(one_hot(self._space, genes))])
        return {**self._structural(genes), HINTED: hinted}

    def _hinted(self, genes: IntArray) -> FloatArray:
        return np.stack([hint(genes) for hint in self._hints], axis=1)


class Scaling:
    """Gives every column mean 0 and the same variance, all together 1; drops those that never vary."""

    def __init__(self, reference: FloatArray) -> None:
        """``reference`` (n, d) holds what is standardised against."""
        std = reference.std(axis=0)
        self._varying = std > CONSTANT
        self._shift = reference.mean(axis=0)
        scale = np.sqrt(max(1, int(self._varying.sum())))
        self._factor = np.where(self._varying, 1.0 / np.where(self._varying, std * scale, 1.0), 0.0)

    def __call__(self, features: FloatArray) -> FloatArray:
        """Features (n, d) scaled, (n, columns that vary)."""
        return np.asarray(((features - self._shift) * self._factor)[:, self._varying])
