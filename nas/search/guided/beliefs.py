"""What is believed of each metric at the candidates: known from a predictor, or learned from what was told.

All beliefs are normal marginals on an increasing scale of the metric's *cost*, so that objectives,
constraints and both kinds of belief meet in one acquisition.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from nas.pareto import FloatArray
from nas.search.guided.scale import Scale, log_scale
from nas.search.guided.surrogate import Surrogate, Target

EXACT = 1e-9  # standard deviation of what is known exactly


class Belief(Protocol):
    """Marginals of one metric at N candidates."""

    @property
    def mean(self) -> FloatArray:
        """(N,)."""
        ...

    @property
    def std(self) -> FloatArray:
        """(N,), positive."""
        ...

    def scaled(self, costs: FloatArray) -> FloatArray:
        """Costs (n,) on the scale of the marginals."""
        ...

    def believe(self, index: int) -> None:
        """Take the mean at candidate ``index`` for its value."""
        ...


class KnownBelief:
    """From a predictor's means and standard deviations; ``scale`` is that of the whole pool."""

    def __init__(self, scale: Scale, costs: FloatArray, std: FloatArray) -> None:
        """``costs`` (N,) and ``std`` (N,) in the metric's own unit."""
        self._scale = scale
        self.mean = scale(costs)
        self.std = np.maximum(std * np.exp(scale.log_slope(costs)), EXACT)

    def scaled(self, costs: FloatArray) -> FloatArray:
        """See Belief."""
        return self._scale(costs)

    def believe(self, index: int) -> None:
        """See Belief: what is known does not change."""


class LearnedBelief:
    """From the surrogate of the metric."""

    def __init__(self, target: Target, surrogate: Surrogate) -> None:
        self._target = target
        self._surrogate = surrogate

    @property
    def mean(self) -> FloatArray:
        """See Belief."""
        return self._surrogate.mean

    @property
    def std(self) -> FloatArray:
        """See Belief."""
        return self._surrogate.std

    def scaled(self, costs: FloatArray) -> FloatArray:
        """See Belief."""
        return self._target(costs)

    def believe(self, index: int) -> None:
        """See Belief."""
        self._surrogate.believe(index)


def known_scale(costs: FloatArray) -> Scale:
    """Logarithmic where all costs (N,) are positive: latencies and sizes differ by ratios."""
    if len(costs) and costs.min() > 0:
        return log_scale()
    return Scale(max(float(np.ptp(costs)), 1e-12) if len(costs) else 1.0)
