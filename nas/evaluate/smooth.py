"""Estimates of many subnets, freed of what is particular to each: a law fitted to the estimates themselves.

Weights shared by all subnets disturb each estimate a little, in a way that has nothing to do with
the subnet. A law with few parameters averages that out. No true accuracy enters.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nas.errors import ConfigError
from predictors.accuracy.gaussian_process import Posterior, condition, fit_hyperparameters
from predictors.accuracy.views import ScaledViews
from searchspaces.space import Arch, Choice, SearchSpace

FloatArray = NDArray[np.float64]
PENALTY = 1.0  # ridge, on standardised columns


def smoothed(space: SearchSpace, archs: Sequence[Arch], estimates: Sequence[float]) -> FloatArray:
    """What a law fitted to all ``estimates`` (n,) says of each arch, shape (n,).

    Where every choice is of positive numbers, each contributes in proportion to the logarithm of
    its value, as widths do in scaling laws (arXiv 2001.08361). Elsewhere the law is a Gaussian
    process on one view of the space's features: that view from which the estimates themselves
    are predicted best when each is left out. Raises ConfigError for another number of estimates
    than archs, fewer than 2, or one that is not finite.
    """
    values = np.asarray(estimates, dtype=np.float64)
    if values.shape != (len(archs),) or len(archs) < 2 or not np.isfinite(values).all():
        raise ConfigError(
            f"estimates must be {len(archs)} finite numbers, at least 2; got shape {values.shape} "
            f"with {int(np.isfinite(values).sum())} finite ones"
        )
    law = _additive if all(_is_scale(choice) for choice in space.choices) else _gaussian_process
    return law(space, archs, values)


def _additive(space: SearchSpace, archs: Sequence[Arch], values: FloatArray) -> FloatArray:
    """Ridge regression on logarithms."""
    columns = _columns(space, archs)
    spread = columns.std(0)
    x = (columns[:, spread > 0] - columns[:, spread > 0].mean(0)) / spread[spread > 0]
    weights = np.linalg.solve(x.T @ x + PENALTY * np.eye(x.shape[1]), x.T @ (values - values.mean()))
    return np.asarray(values.mean() + x @ weights)


def _gaussian_process(space: SearchSpace, archs: Sequence[Arch], values: FloatArray) -> FloatArray:
    """The posterior mean from the view of least leave-one-out error."""
    views = ScaledViews(space)
    centre, scale = values.mean(), values.std() or 1.0
    targets = (values - centre) / scale
    laws = [([view], _fitted(view, targets)) for view in views(views.genes(archs))]
    view, law = min(laws, key=lambda one: _held_out_error(one[1], targets))
    return np.asarray(centre + scale * law.predict(view)[0])


def _fitted(view: FloatArray, targets: FloatArray) -> Posterior:
    return condition(fit_hyperparameters([view], targets), [view], targets)


def _held_out_error(law: Posterior, targets: FloatArray) -> float:
    return float(np.mean(np.square(targets - law.leave_one_out(targets)[0])))


def _columns(space: SearchSpace, archs: Sequence[Arch]) -> FloatArray:
    """Logarithms of the values, one column per choice; 0 where inactive."""
    rows = [space.values(arch) for arch in archs]
    return np.array(
        [
            [np.log(float(row[choice.name])) if choice.name in row else 0.0 for choice in space.choices]
            for row in rows
        ]
    )


def _is_scale(choice: Choice) -> bool:
    return all(isinstance(value, int | float) and value > 0 for value in choice.values)
