"""The 1,797 handwritten digits of 8x8 pixels that come with scikit-learn (UCI optdigits test set)."""

from __future__ import annotations

import numpy as np

from nas.data.labels import check_labels
from nas.data.types import ImageArray, ImageSource, IndexArray, Report

CLASSES = tuple("0123456789")
LEVELS = 16  # pixels run from 0 to 16


def read_digits() -> ImageSource:
    """The digits, grey levels stretched to 0..255; the source has no split of its own."""
    from sklearn.datasets import load_digits  # slow to import, and only this source needs it

    pixels, labels = load_digits(return_X_y=True)
    images = np.round(pixels.reshape(-1, 1, 8, 8) * (255 / LEVELS)).astype(np.uint8)

    def decode(indices: IndexArray, report: Report) -> ImageArray:
        report("decode", len(indices), len(indices))
        taken: ImageArray = images[indices]
        return taken

    labels = check_labels(labels, len(CLASSES), "digits")
    return ImageSource("digits", "digits", CLASSES, labels, np.zeros(len(labels), np.int8), decode)
