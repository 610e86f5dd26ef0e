"""Which archs to measure: greedily those that leave the least variance over the candidates.

I-optimal design under the kernel averaged over the prior of the configurations; no target value
is looked at, so all samples can be measured in one go.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from predictors.transfer.basis import INTERCEPT_VARIANCE, Components
from predictors.transfer.configurations import MEAN_SOURCE, Configurations
from predictors.transfer.tables import FloatArray

MIN_NOISE = 0.15  # expected noise of a new device, in standard deviations of the sources


def choose(
    n: int,
    configurations: Configurations,
    shares: FloatArray,
    views: Sequence[Components],
    level: FloatArray,
) -> list[int]:
    """Positions of n candidates, in the order of their use; ``level`` (m,) scales their noise."""
    covariance = _mean_kernel(configurations, shares, views)
    noise = max(float(np.exp(shares @ np.log(configurations.noise))), MIN_NOISE)
    variances = np.square(noise * level / level.mean())
    chosen: list[int] = []
    for _ in range(n):
        gain = np.square(covariance).sum(0) / (np.diag(covariance) + variances)
        gain[chosen] = -np.inf
        best = int(np.argmax(gain))
        chosen.append(best)
        column = covariance[:, best]
        covariance = covariance - np.outer(column, column) / (column[best] + variances[best])
    return chosen


def _mean_kernel(
    configurations: Configurations, shares: FloatArray, views: Sequence[Components]
) -> FloatArray:
    size = len(views[0].mains)
    result = np.full((size, size), INTERCEPT_VARIANCE)
    for view, components in enumerate(views):
        rows = np.where(configurations.view == view, shares, 0.0)
        mains = np.bincount(
            configurations.main - MEAN_SOURCE,
            weights=rows * configurations.main_variance,
            minlength=components.mains.shape[1],
        )
        result += (components.mains * mains) @ components.mains.T
        for block, variance in zip(
            components.blocks, rows @ np.square(configurations.amplitudes), strict=True
        ):
            result += variance * (block @ block.T)
    return result
