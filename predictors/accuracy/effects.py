"""ChoiceEffects: what each choice of a space adds to the loss of a supernet's subnets, on average."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from predictors.errors import CorruptFitError, InvalidValueError
from predictors.sealed import read_sealed, write_sealed
from searchspaces.genes import one_hot, option_counts
from searchspaces.space import SearchSpace

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
NAME = "effects"
PENALTIES = np.logspace(-1, 4, 21)  # of ridge regression on columns of variance 1
CONSTANT = 1e-9
MIN_SUBNETS = 2  # of a round


@dataclass(frozen=True, slots=True, eq=False)
class ChoiceEffects:
    """Main effects (Box, Hunter and Hunter 2005, chapter 5) on the cross-entropy loss, in nats.

    Calling it with genes (n, c) gives the sums of their effects (n,): low where subnets tend to be
    accurate. It costs no evaluation and knows no interactions, so it is a hint and no prediction.
    """

    space: SearchSpace
    supernet: str  # SHA-256 of the weights
    weights: FloatArray  # (d,), one per option of ``SearchSpace.encode``
    n_subnets: int  # observed
    n_images: int  # on which each was observed

    @classmethod
    def fit(
        cls, space: SearchSpace, supernet: str, genes: IntArray, losses: FloatArray, *, n_images: int
    ) -> ChoiceEffects:
        """Fit to subnets with ``genes`` (r, k, c): k in each of r rounds, with the mean ``losses`` (r, k).

        Subnets of a round saw the same images, those of different rounds did not: differences
        within rounds are fitted, by ridge regression whose penalty generalised cross-validation
        chooses (Golub, Heath and Wahba 1979). Rounds with a loss that is not finite are left out.
        Raises InvalidValueError if that is all of them, and for fewer than 2 subnets to a round.
        """
        if losses.shape != genes.shape[:2] or losses.shape[1] < MIN_SUBNETS:
            raise InvalidValueError(
                f"losses must be of as many subnets as genes, {MIN_SUBNETS} or more to a round; "
                f"got losses {losses.shape} of genes {genes.shape}"
            )
        finite = np.isfinite(losses).all(axis=1)
        if not finite.any():
            raise InvalidValueError("losses must be finite in one round at least; none is")
        genes, losses = genes[finite], losses[finite]
        columns = one_hot(space, genes.reshape(-1, genes.shape[-1])).reshape(*losses.shape, -1)
        within = (columns - columns.mean(axis=1, keepdims=True)).reshape(losses.size, -1)
        target = (losses - losses.mean(axis=1, keepdims=True)).ravel()
        scale = within.std(axis=0)
        varies = scale > CONSTANT
        weights = np.zeros(len(scale))
        weights[varies] = _ridge(within[:, varies] / scale[varies], target) / scale[varies]
        return cls(space, supernet, weights, losses.size, n_images)

    def __call__(self, genes: IntArray) -> FloatArray:
        """The sums of effects (n,) of archs with these canonical genes (n, c)."""
        return np.asarray(one_hot(self.space, genes) @ self.weights, dtype=np.float64)

    def save(self, folder: Path) -> None:
        """Write ``effects.json`` and ``effects.safetensors`` into the folder."""
        payload = {
            "space": self.space.id,
            "supernet": self.supernet,
            "n_subnets": self.n_subnets,
            "n_images": self.n_images,
        }
        write_sealed(folder, NAME, payload, {"weights": self.weights})

    @classmethod
    def load(cls, folder: Path, space: SearchSpace, supernet: str) -> ChoiceEffects:
        """Read what ``save`` wrote; raises CorruptFitError for damage, another space or other weights."""
        payload, arrays = read_sealed(folder, NAME)
        path = folder / f"{NAME}.json"
        try:
            found, digest, weights = payload["space"], payload["supernet"], arrays["weights"]
            counts = int(payload["n_subnets"]), int(payload["n_images"])
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptFitError(f"{path}: {error!r}") from error
        if found != space.id or weights.shape != (int(option_counts(space).sum()),):
            raise CorruptFitError(f"{path}: of space {found} with weights {weights.shape}, not of {space.id}")
        if digest != supernet:
            raise CorruptFitError(f"{path}: of other weights than the supernet's")
        if not np.isfinite(weights).all():
            raise CorruptFitError(f"{path}: weights must be finite")
        return cls(space, digest, weights.astype(np.float64), *counts)


def has_effects(folder: Path) -> bool:
    """Whether effects were saved in the folder."""
    return (folder / f"{NAME}.json").exists()


def _ridge(x: FloatArray, y: FloatArray) -> FloatArray:
    """Ridge weights (d,) of features (n, d), with the penalty of least generalised cross-validation error."""
    values, vectors = np.linalg.eigh(x.T @ x)
    values = np.maximum(values, 0.0)
    projected = vectors.T @ (x.T @ y)
    inverse = 1.0 / (values + PENALTIES[:, None])  # (penalties, d)
    residual = (
        y @ y - 2.0 * (projected**2 * inverse).sum(axis=1) + (values * (projected * inverse) ** 2).sum(axis=1)
    )
    freedom = len(y) - (values * inverse).sum(axis=1)
    best = int(np.argmin(residual / freedom**2))
    return np.asarray(vectors @ (projected * inverse[best]), dtype=np.float64)
