"""CIFAR-10 (Krizhevsky 2009): the hub's parquet layout, or the official binary files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nas.data.labels import check_labels
from nas.data.parquet import read_parquet
from nas.data.types import TEST, TRAIN, ImageArray, ImageSource, IndexArray, Report
from nas.errors import DataError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE = 32
RECORD_BYTES = 1 + 3 * SIDE * SIDE  # the label, then red, green and blue planes
RECORDS_PER_FILE = 10_000
BINARY_FILES = {**{f"data_batch_{i}.bin": TRAIN for i in range(1, 6)}, "test_batch.bin": TEST}


def read_cifar10(folder: Path) -> ImageSource:
    """CIFAR-10 in ``folder``: parquet files with columns ``img`` and ``label``, or the six ``.bin`` files.

    Raises DataError, which names the file, for a missing, truncated or foreign file.
    """
    for place in (folder, folder / "cifar-10-batches-bin"):
        if any((place / name).exists() for name in BINARY_FILES):
            return _read_binary(place)
    source = read_parquet(folder, image="img", label="label", size=SIDE, resample=False)
    check_labels(source.labels, len(CLASSES), str(folder))
    if not (source.parts == TEST).any():
        raise DataError(f"{folder}: has no parquet file of the test images (test-*.parquet)")
    return replace(source, name="cifar10", classes=CLASSES, decode=_colour_only(source.decode, folder))


def _colour_only(
    decode: Callable[[IndexArray, Report], ImageArray], folder: Path
) -> Callable[[IndexArray, Report], ImageArray]:
    def checked(indices: IndexArray, report: Report) -> ImageArray:
        images = decode(indices, report)
        if images.shape[1] != 3:
            raise DataError(f"{folder}: images must have 3 channels; got {images.shape[1]}")
        return images

    return checked


def _read_binary(folder: Path) -> ImageSource:
    files = [_records(folder / name) for name in BINARY_FILES]
    labels = [
        check_labels(records[:, 0], len(CLASSES), str(folder / name))
        for name, records in zip(BINARY_FILES, files, strict=True)
    ]

    def decode(indices: IndexArray, report: Report) -> ImageArray:
        images = np.empty((len(indices), 3, SIDE, SIDE), np.uint8)
        for i, records in enumerate(files):
            here = indices // RECORDS_PER_FILE == i
            images[here] = records[indices[here] % RECORDS_PER_FILE, 1:].reshape(-1, 3, SIDE, SIDE)
        report("decode", len(indices), len(indices))
        return images

    parts = np.repeat(np.array(list(BINARY_FILES.values()), np.int8), RECORDS_PER_FILE)
    return ImageSource("cifar10", str(folder), CLASSES, np.concatenate(labels), parts, decode)


def _records(path: Path) -> NDArray[np.uint8]:
    """The records (RECORDS_PER_FILE, RECORD_BYTES) of a binary file, mapped and not read yet."""
    expected = RECORDS_PER_FILE * RECORD_BYTES
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    if path.stat().st_size != expected:
        raise DataError(f"{path}: must have {expected} bytes; has {path.stat().st_size}")
    return np.memmap(path, np.uint8, mode="r").reshape(RECORDS_PER_FILE, RECORD_BYTES)
