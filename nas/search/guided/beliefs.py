"""What is believed of each metric at the candidates: known from a predictor, or learned from what was told.

All beliefs are normal marginals on an increasing scale of the metric's *cost*, so that objectives,
constraints and both kinds of belief meet in one acquisition.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from scipy.special import log_ndtr

from nas.pareto import FloatArray
from nas.search.guided.scale import Scale, log_scale
from nas.search.guided.surrogate import Surrogate, Target

EXACT = 1e-9  # standard deviation of what is known exactly
Z_LIMIT = 1e6  # of a normal variable
NEVER = 1e12  # minus the log probability of what cannot be, more the further it is off


class Belief(Protocol):
    """Marginals of one metric at N candidates."""

    @property
    def mean(self) -> FloatArray:
        """(N,)."""
        ...

    @property
    def std(self) -> FloatArray:
        """Of what an evaluation would show (N,), positive."""
        ...

    def log_below(self, edge: float, sign: float) -> FloatArray:
        """Log probability (N,) that ``sign`` times the cost is at most ``sign`` times ``edge``."""
        ...

    def scaled(self, costs: FloatArray) -> FloatArray:
        """Costs (n,) on the scale of the marginals."""
        ...

    def believe(self, index: int) -> None:
        """Take the mean at candidate ``index`` for its value."""
        ...


class KnownBelief:
    """From a predictor's means and standard deviations; ``scale`` is that of the whole pool.

    An evaluation is told the predictor's mean, so what the predictor does not know is no chance of
    improving on it: ``std`` is next to nothing. It is a risk where there is a constraint, which both
    the mean and the metric itself have to keep.
    """

    def __init__(self, scale: Scale, costs: FloatArray, std: FloatArray) -> None:
        """``costs`` (N,) and ``std`` (N,) in the metric's own unit."""
        self._scale = scale
        self.mean = scale(costs)
        self.std = np.full(len(costs), EXACT)
        self._doubt = np.maximum(_scaled_std(scale, costs, std), EXACT)

    def scaled(self, costs: FloatArray) -> FloatArray:
        """See Belief."""
        return self._scale(costs)

    def log_below(self, edge: float, sign: float) -> FloatArray:
        """See Belief."""
        slack = _slack(self, edge, sign)
        return np.where(slack < 0, NEVER * (slack - 1.0), _log_normal(slack / self._doubt))

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

    def log_below(self, edge: float, sign: float) -> FloatArray:
        """See Belief."""
        return _log_normal(_slack(self, edge, sign) / self.std)

    def believe(self, index: int) -> None:
        """See Belief."""
        self._surrogate.believe(index)


def known_scale(costs: FloatArray) -> Scale:
    """Logarithmic where all costs (N,) are positive: latencies and sizes differ by ratios."""
    if len(costs) and costs.min() > 0:
        return log_scale()
    return Scale(max(float(np.ptp(costs)), 1e-12) if len(costs) else 1.0)


def _slack(belief: Belief, edge: float, sign: float) -> FloatArray:
    """How far the means (N,) lie within the edge; a cost at its bound is allowed."""
    return np.asarray(sign * (belief.scaled(np.array([edge]))[0] - belief.mean) + 1e-9)


def _log_normal(z: FloatArray) -> FloatArray:
    """Log of the normal distribution function, finite."""
    return np.asarray(log_ndtr(np.clip(z, -Z_LIMIT, Z_LIMIT)))


def _scaled_std(scale: Scale, costs: FloatArray, std: FloatArray) -> FloatArray:
    """Standard deviation (N,) on a scale; under a logarithm that of the log-normal with these moments.

    A slope would make a predictor that errs by a whole value err by octaves.
    """
    relative = std * np.exp(scale.log_slope(costs))
    return relative if scale.offset is None else np.sqrt(np.log1p(np.square(relative)))
