"""How much a front may be missing because latencies are predicted, not measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.pareto import hypervolume, is_nondominated

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
SLACK = 1.1  # of the largest latency, where the hypervolume's reference lies


@dataclass(frozen=True, slots=True)
class MissingHypervolume:
    """``hypervolume`` of the front of predicted means, and how much more it may be.

    ``missing`` is what would be added if every evaluated arch that is not on the front were as fast
    as the low end of its 90 % interval; at least 0, and 0 where no interval has a width. Both are in
    milliseconds (up to ``reference_ms``) times accuracy (from 0).
    """

    hypervolume: float
    missing: float
    reference_ms: float

    @property
    def share(self) -> float:
        """``missing`` as a share of what the front would then have; 0 where that is 0."""
        possible = self.hypervolume + self.missing
        return self.missing / possible if possible > 0 else 0.0


def predicted_front(top1: FloatArray, latency_ms: FloatArray) -> BoolArray:
    """Mask (n,) of the archs that no other one dominates in accuracy and latency."""
    return is_nondominated(np.column_stack([-top1, latency_ms]))


def missing_hypervolume(top1: FloatArray, latency_ms: FloatArray, low_ms: FloatArray) -> MissingHypervolume:
    """Of n >= 1 archs with accuracies, predicted mean latencies and the low ends of their intervals.

    Raises ValueError for shapes that differ, no archs, or a low end above its mean.
    """
    if not (top1.shape == latency_ms.shape == low_ms.shape) or top1.ndim != 1 or not len(top1):
        raise ValueError(
            f"top1, latency_ms and low_ms must have one shape (n,), n >= 1; "
            f"got {top1.shape}, {latency_ms.shape}, {low_ms.shape}"
        )
    if (low_ms > latency_ms).any():
        raise ValueError("low_ms must not lie above latency_ms")
    reference_ms = SLACK * float(latency_ms.max())
    reference = np.array([0.0, reference_ms])
    front = predicted_front(top1, latency_ms)
    hoped = np.where(front, latency_ms, low_ms)
    found = hypervolume(np.column_stack([-top1, latency_ms])[front], reference)
    possible = hypervolume(np.column_stack([-top1, hoped]), reference)
    return MissingHypervolume(found, max(0.0, possible - found), reference_ms)


def possible_gains(top1: FloatArray, latency_ms: FloatArray, low_ms: FloatArray) -> FloatArray:
    """Hypervolume (n,) that each arch alone would add to the front at the low end of its interval.

    It is large for archs on or near the front whose intervals are wide: those to measure next.
    Raises ValueError as ``missing_hypervolume``.
    """
    whole = missing_hypervolume(top1, latency_ms, low_ms)
    reference = np.array([0.0, whole.reference_ms])
    mask = predicted_front(top1, latency_ms)
    front, hoped = np.column_stack([-top1, latency_ms])[mask], np.column_stack([-top1, low_ms])
    gains = np.zeros(len(top1))
    for row, point in enumerate(hoped):
        if not (front <= point).all(axis=1).any():
            gains[row] = max(0.0, hypervolume(np.vstack([front, point]), reference) - whole.hypervolume)
    return gains
