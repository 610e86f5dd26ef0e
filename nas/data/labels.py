"""Checks of labels that every reader makes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nas.data.types import IndexArray
from nas.errors import DataError


def check_labels(labels: NDArray[np.integer], n_classes: int, where: str) -> IndexArray:
    """The labels as int64, all within 0..n_classes-1.

    Raises DataError, which names ``where`` and the first wrong label.
    """
    wrong = np.flatnonzero((labels < 0) | (labels >= n_classes))
    if wrong.size:
        raise DataError(
            f"{where}: label {labels[wrong[0]]} of image {wrong[0]} must lie in 0..{n_classes - 1}"
        )
    return labels.astype(np.int64)


def check_classes(labels: IndexArray, classes: Sequence[str], where: str) -> None:
    """Raise DataError unless there are two classes or more and each has an image among ``labels``."""
    if len(classes) < 2:
        raise DataError(f"{where}: needs images of at least 2 classes; got {len(classes)}")
    empty = np.flatnonzero(np.bincount(labels, minlength=len(classes)) == 0)
    if empty.size:
        raise DataError(f"{where}: class {classes[empty[0]]!r} has no training images")
