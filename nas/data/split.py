"""Deterministic stratified splits: indices only, so nothing is decoded that is not wanted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nas.data.labels import check_classes
from nas.data.types import TEST, TRAIN, VAL, ImageSource, IndexArray
from nas.errors import ConfigError, DataError

SMALL = 10_000  # up to this many images, a tenth is too few to tell two subnets apart
SMALL_FRACTION, FRACTION = 0.2, 0.1


def split_indices(
    source: ImageSource, *, seed: int, limit: int | None
) -> tuple[IndexArray, IndexArray, IndexArray]:
    """Indices of the training, validation and test images, each ascending, pairwise disjoint.

    A split that the source has is taken as it is. A missing test split is cut from the
    training images first, then a missing validation split: a tenth of every class (a fifth
    where there are at most 10,000 images), at least one image. ``limit`` keeps at most that
    many images of each split, classes in proportion. The result depends on labels, parts and
    ``seed`` alone.

    Raises DataError for a missing class or one with too few images to cut, ConfigError for a
    negative seed or a limit below the number of classes.
    """
    n_classes = len(source.classes)
    _check_settings(seed, limit, n_classes)
    train, val, test = (np.flatnonzero(source.parts == part) for part in (TRAIN, VAL, TEST))
    check_classes(source.labels[train], source.classes, source.where)
    if not test.size:
        train, test = _cut(source, train, np.random.default_rng([seed, TEST]))
    if not val.size:
        train, val = _cut(source, train, np.random.default_rng([seed, VAL]))
    if limit is None:
        return train, val, test
    rng = np.random.default_rng([seed, 3])
    train, val, test = (_limited(source.labels, split, limit, rng) for split in (train, val, test))
    return train, val, test


def _check_settings(seed: int, limit: int | None, n_classes: int) -> None:
    if seed < 0:
        raise ConfigError(f"seed must be at least 0; got {seed}")
    if limit is not None and limit < n_classes:
        raise ConfigError(f"limit must be at least the number of classes, {n_classes}; got {limit}")


def _cut(source: ImageSource, indices: IndexArray, rng: np.random.Generator) -> tuple[IndexArray, IndexArray]:
    """Take a share of every class out of ``indices``; returns (what stays, what was taken)."""
    fraction = SMALL_FRACTION if len(indices) <= SMALL else FRACTION
    for label, count in enumerate(np.bincount(source.labels[indices], minlength=len(source.classes))):
        if count < 2:
            raise DataError(
                f"{source.where}: class {source.classes[label]!r} has too few images to divide"
                f" into training, validation and test images"
            )
    taken = _per_class(source.labels, indices, lambda n: max(1, round(n * fraction)), rng)
    return np.setdiff1d(indices, taken, assume_unique=True), taken


def _limited(labels: IndexArray, indices: IndexArray, limit: int, rng: np.random.Generator) -> IndexArray:
    """At most ``limit`` of ``indices``: the same share of every class, at least one of each."""
    if len(indices) <= limit:
        return indices
    n_classes = len(np.unique(labels[indices]))
    share = (limit - n_classes) / (len(indices) - n_classes)
    return _per_class(labels, indices, lambda n: 1 + int((n - 1) * share), rng)


def _per_class(
    labels: IndexArray, indices: IndexArray, count: Callable[[int], int], rng: np.random.Generator
) -> IndexArray:
    """``count(n)`` random indices of each class that has n of them, ascending over all classes."""
    chosen = []
    for label in np.unique(labels[indices]):
        members = indices[labels[indices] == label]
        chosen.append(rng.permutation(members)[: count(len(members))])
    return np.sort(np.concatenate(chosen))
