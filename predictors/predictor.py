"""The Predictor protocol: archs in, means with standard deviations and intervals out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from searchspaces.space import Arch

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Prediction:
    """Predictions for n archs in the target's own unit; ``low`` and ``high`` bound the 90 % interval."""

    mean: FloatArray  # (n,)
    std: FloatArray  # (n,), >= 0
    low: FloatArray  # (n,), <= mean
    high: FloatArray  # (n,), >= mean


class Predictor(Protocol):
    """Predicts one metric of archs of one space (for latency: on one device)."""

    def fit(self, archs: Sequence[Arch], targets: FloatArray) -> None:
        """Fit to targets of shape (n,), positive and finite."""
        ...

    def predict(self, archs: Sequence[Arch]) -> Prediction:
        """Raises NotFittedError before ``fit``."""
        ...
