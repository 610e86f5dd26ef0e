"""Estimates of many subnets, freed of what is particular to each: a law fitted to the estimates themselves.

Weights shared by all subnets disturb each estimate a little, in a way that has nothing to do with
the subnet. A law with few parameters averages that out. No true accuracy enters.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nas.errors import ConfigError
from searchspaces.space import Arch, Choice, SearchSpace

FloatArray = NDArray[np.float64]
PENALTY = 1.0  # ridge, on standardised columns


def smoothed(space: SearchSpace, archs: Sequence[Arch], estimates: Sequence[float]) -> FloatArray:
    """What an additive law says of each arch, fitted by ridge regression to all ``estimates`` (n,).

    A choice of positive numbers contributes in proportion to the logarithm of its value, as widths
    do in scaling laws (arXiv 2001.08361); any other contributes a constant per option. Returns (n,).
    Raises ConfigError for another number of estimates than archs, fewer than 2, or one that is not
    finite.
    """
    values = np.asarray(estimates, dtype=np.float64)
    if values.shape != (len(archs),) or len(archs) < 2 or not np.isfinite(values).all():
        raise ConfigError(
            f"estimates must be {len(archs)} finite numbers, at least 2; got shape {values.shape} "
            f"with {int(np.isfinite(values).sum())} finite ones"
        )
    columns = _columns(space, archs)
    spread = columns.std(0)
    x = (columns[:, spread > 0] - columns[:, spread > 0].mean(0)) / spread[spread > 0]
    weights = np.linalg.solve(x.T @ x + PENALTY * np.eye(x.shape[1]), x.T @ (values - values.mean()))
    return np.asarray(values.mean() + x @ weights)


def _columns(space: SearchSpace, archs: Sequence[Arch]) -> FloatArray:
    """One column per choice of positive numbers, one per option of the others; 0 where inactive."""
    rows = [space.values(arch) for arch in archs]
    columns = []
    for choice in space.choices:
        found = [row.get(choice.name) for row in rows]
        if _is_scale(choice):
            columns.append([np.log(float(value)) if value is not None else 0.0 for value in found])
        else:
            columns += [[float(value == option) for value in found] for option in choice.values]
    return np.array(columns).T.reshape(len(archs), -1)


def _is_scale(choice: Choice) -> bool:
    return all(isinstance(value, int | float) and value > 0 for value in choice.values)
