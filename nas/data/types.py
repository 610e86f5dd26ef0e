"""Split, ImageData, ImageSource: labelled images as NumPy arrays, before any model sees them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

ImageArray: TypeAlias = NDArray[np.uint8]
IndexArray: TypeAlias = NDArray[np.int64]
Report: TypeAlias = Callable[[str, int, int], None]  # what is done, how many are done, how many there are

TRAIN, VAL, TEST = 0, 1, 2  # codes in ``ImageSource.parts``


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Images (N, C, H, W) uint8 with their labels (N,) int64, indices into the classes."""

    images: ImageArray
    labels: IndexArray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class ImageData:
    """Square images of one size in three disjoint splits; a search sees ``train`` and ``val`` only."""

    name: str
    classes: tuple[str, ...]
    train: Split
    val: Split
    test: Split

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    @property
    def in_channels(self) -> int:
        """1 for grey images, 3 for colour images."""
        return int(self.train.images.shape[1])

    @property
    def resolution(self) -> int:
        """Side length of the images in pixels."""
        return int(self.train.images.shape[-1])

    @cached_property
    def digest(self) -> str:
        """64 hex digits of SHA-256 over classes, labels and images of the three splits."""
        sha = hashlib.sha256(json.dumps(self.classes).encode())
        for split in (self.train, self.val, self.test):
            sha.update(json.dumps(split.images.shape).encode())
            sha.update(np.ascontiguousarray(split.labels, dtype="<i8").data)
            sha.update(np.ascontiguousarray(split.images).reshape(-1).data)
        return sha.hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class ImageSource:
    """What a reader found: labels of all N images, and how to decode those that are wanted.

    ``parts`` (N,) int8 holds TRAIN, VAL or TEST as the source itself divides its images; a
    source without VAL or TEST gets these cut from its training images. ``decode`` turns
    indices (n,) into images (n, C, R, R) uint8 and may raise DataError.
    """

    name: str
    where: str
    classes: tuple[str, ...]
    labels: IndexArray
    parts: NDArray[np.int8]
    decode: Callable[[IndexArray, Report], ImageArray]
