"""Scales: monotone maps of a cost under which a Gaussian process fits better.

Accuracies crowd near their best value, latencies span octaves; in both cases ratios of the
distance to the best say more than differences. A monotone map changes no dominance, so the front
is the same; which map fits is decided by marginal likelihood (warped Gaussian processes: Snelson,
Rasmussen & Ghahramani 2003), not by what the metric is called.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nas.pareto import FloatArray

# Offsets of a shifted logarithm as shares of the distance from best to median; None is linear.
OFFSETS = (None, 0.05, 0.2, 1.0)
TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Scale:
    """``log(offset + (cost - best) / unit)``, or ``cost / unit`` where ``offset`` is None; increasing."""

    unit: float
    best: float = 0.0
    offset: float | None = None

    def __call__(self, costs: FloatArray) -> FloatArray:
        """The costs on this scale; costs far below ``best`` stay finite."""
        if self.offset is None:
            return np.asarray(costs / self.unit, dtype=np.float64)
        shifted = self.offset + (costs - self.best) / self.unit
        return np.asarray(np.log(np.maximum(shifted, TINY)), dtype=np.float64)

    def log_slope(self, costs: FloatArray) -> FloatArray:
        """Logarithm of the derivative: the Jacobian that makes evidences of scales comparable."""
        if self.offset is None:
            return np.full(costs.shape, -np.log(self.unit))
        return np.asarray(-self(costs) - np.log(self.unit), dtype=np.float64)


def scale_of(costs: FloatArray, offset: float | None) -> Scale:
    """The scale with this offset, anchored to these costs (n,); linear where all are equal."""
    best = float(costs.min())
    spread = float(costs.max()) - best
    if spread <= TINY * max(1.0, abs(best)):
        return Scale(1.0)
    if offset is None:
        return Scale(spread)
    return Scale(max(float(np.median(costs)) - best, 1e-3 * spread), best, offset)


def log_scale() -> Scale:
    """The logarithm of positive costs."""
    return Scale(1.0, 0.0, 0.0)
