"""Configurations: random hyperparameters of the kernel, over which the model is averaged.

Nothing is fitted to ten samples: several hundred kernels are drawn once, and a prediction is their
mean, weighted by how well each explains the samples (Rasmussen and Williams 2006, section 5.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from predictors.transfer.tables import FloatArray

COUNT = 500
MEAN_SOURCE = -1
SINGLE_SHARE = 0.5  # of configurations that start from one source instead of their mean
SCRATCH_SHARE = 0.1  # of configurations that start from no source: a device unlike any other
MAIN_VARIANCE = 4.0
# Bounds of log10 of amplitudes, in standard deviations of the sources over the archs.
RESIDUAL = (-1.5, 0.5)
PHYSICAL = (-1.0, 0.5)
PHYSICAL_SPREAD = (-1.0, 0.5)
FINE = (-2.0, 0.0)
FINE_SPREAD = (-0.7, 0.3)
NOISE = (-1.5, 0.3)
PHYSICAL_SHARE, FINE_SHARE = 0.9, 0.7  # how often a block takes part, unless told otherwise


@dataclass(frozen=True, slots=True)
class Configurations:
    """c kernels: the view that is read, the source that it starts from, amplitudes and noise."""

    view: NDArray[np.int64]  # (c,)
    main: NDArray[np.int64]  # (c,), a source or MEAN_SOURCE
    main_variance: FloatArray  # (c,), 0 for those that start from scratch
    amplitudes: FloatArray  # (c, 1 + blocks): the subspace of source residuals, then each block
    noise: FloatArray  # (c,)

    def __len__(self) -> int:
        return len(self.noise)

    def take(self, rows: NDArray[np.bool_]) -> Configurations:
        """Those of ``rows`` (c,)."""
        return Configurations(
            self.view[rows],
            self.main[rows],
            self.main_variance[rows],
            self.amplitudes[rows],
            self.noise[rows],
        )

    def without(self, source: int) -> Configurations:
        """The same kernels for sources of which ``source`` was removed; what started from it starts
        from the mean.
        """
        main = np.where(self.main == source, MEAN_SOURCE, self.main)
        return replace(self, main=np.where(main > source, main - 1, main))


def draw(
    rng: np.random.Generator,
    names: Sequence[str],
    physical: frozenset[str],
    *,
    sources: int,
    views: int,
    count: int = COUNT,
    physical_share: float = PHYSICAL_SHARE,
) -> Configurations:
    """Draw configurations for blocks ``names``; ``physical_share``: how often each of those takes part."""
    single = rng.random(count) < SINGLE_SHARE
    main = np.where(single, rng.integers(sources, size=count), MEAN_SOURCE)
    level = _powers(rng, PHYSICAL, count)
    fine = _powers(rng, FINE, count)
    columns = [_powers(rng, RESIDUAL, count)]
    for name in names:
        if name in physical:
            amplitude = level * _powers(rng, PHYSICAL_SPREAD, count)
            columns.append(amplitude * (rng.random(count) < physical_share))
        else:
            amplitude = fine * _powers(rng, FINE_SPREAD, count)
            columns.append(amplitude * (rng.random(count) < FINE_SHARE))
    return Configurations(
        view=rng.integers(views, size=count),
        main=main,
        main_variance=np.where(rng.random(count) < SCRATCH_SHARE, 0.0, MAIN_VARIANCE),
        amplitudes=np.column_stack(columns),
        noise=_powers(rng, NOISE, count),
    )


def _powers(rng: np.random.Generator, bounds: tuple[float, float], count: int) -> FloatArray:
    return np.asarray(10 ** rng.uniform(*bounds, count))
