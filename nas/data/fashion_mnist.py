"""Fashion-MNIST (Xiao et al. 2017, arXiv:1708.07747) from a folder of IDX files, gzipped or not."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nas.data.labels import check_labels
from nas.data.types import TEST, TRAIN, ImageArray, ImageSource, IndexArray, Report
from nas.errors import DataError

DEBIAN_PATH = Path("/usr/share/datasets/fashion-mnist")  # of the package dataset-fashion-mnist
CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
SIDE = 28
UINT8 = 0x08  # the only element type that these files use
MAX_BYTES = 1 << 31


def read_fashion_mnist(folder: Path) -> ImageSource:
    """The 60,000 training and 10,000 test images in ``folder``; a file may end in ``.gz``.

    Raises DataError, which names the file, for a missing, truncated or foreign file, images
    that are not 28x28, or labels outside 0..9.
    """
    pairs = [_read_pair(folder, "train"), _read_pair(folder, "t10k")]
    images = np.concatenate([images for images, _ in pairs])
    labels = np.concatenate([labels for _, labels in pairs])
    parts = np.repeat(np.array([TRAIN, TEST], np.int8), [len(labels) for _, labels in pairs])

    def decode(indices: IndexArray, report: Report) -> ImageArray:
        report("decode", len(indices), len(indices))
        return images[indices]

    return ImageSource("fashion-mnist", str(folder), CLASSES, labels, parts, decode)


def _read_pair(folder: Path, prefix: str) -> tuple[ImageArray, IndexArray]:
    image_file = _find(folder, f"{prefix}-images-idx3-ubyte")
    label_file = _find(folder, f"{prefix}-labels-idx1-ubyte")
    images = read_idx(image_file, n_dims=3)
    labels = read_idx(label_file, n_dims=1)
    if images.shape[1:] != (SIDE, SIDE):
        raise DataError(
            f"{image_file}: images must be {SIDE}x{SIDE}; got {images.shape[1]}x{images.shape[2]}"
        )
    if len(images) != len(labels):
        raise DataError(f"{label_file}: has {len(labels)} labels for {len(images)} images")
    return images[:, None], check_labels(labels, len(CLASSES), str(label_file))


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    hint = f" (Debian's package dataset-fashion-mnist puts it in {DEBIAN_PATH})"
    raise DataError(f"{folder / name}: there is no such file, nor one ending in .gz{hint}")


def read_idx(path: Path, *, n_dims: int) -> NDArray[np.uint8]:
    """The array in an IDX file of unsigned bytes with ``n_dims`` dimensions.

    The format: two zero bytes, the element type, the number of dimensions, one big-endian
    uint32 for each, then the elements. Raises DataError, which names the file.
    """
    header = 4 + 4 * n_dims
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            start = file.read(header)
            if len(start) < header or start[:4] != bytes((0, 0, UINT8, n_dims)):
                raise DataError(
                    f"{path}: is no IDX file of bytes in {n_dims} dimensions; starts with {start[:4]!r}"
                )
            shape = struct.unpack(f">{n_dims}I", start[4:])
            expected = math.prod(shape)
            if not 0 < expected <= MAX_BYTES:
                raise DataError(f"{path}: says that its shape is {shape}, which cannot be")
            content = file.read(expected + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    if len(content) != expected:
        found = "more" if len(content) > expected else f"only {len(content)}"
        raise DataError(f"{path}: shape {shape} needs {expected} bytes; the file has {found}")
    return np.frombuffer(content, np.uint8).reshape(shape)
