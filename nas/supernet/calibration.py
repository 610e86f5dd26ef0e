"""The calibration images that a checkpoint carries, so that its subnets need no other images.

Batch-norm statistics of a subnet are taken from a few training images. A checkpoint that holds them
(uint8, 256 of 3x32x32 pixels are 0.8 MB) can be searched, extracted and run where its data set is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from nas.errors import CheckpointError
from nas.supernet.checkpoint import FORMAT, read_checkpoint, write_checkpoint
from nas.supernet.resize import to_float

NAME = "calibration"
LEVELS = 255


def save_calibration(folder: Path, batches: Sequence[Tensor]) -> str:
    """Write ``calibration.json`` and its tensors; returns their digest.

    ``batches`` are float images (B, C, R, R) in [0, 1] that were uint8, at least one batch; all but
    the last have the first one's size.
    """
    images = torch.cat([(batch * LEVELS).round().to(torch.uint8) for batch in batches])
    header = {"format": FORMAT, "batch_size": len(batches[0])}
    return write_checkpoint(folder, NAME, {"images": images}, header)


def load_calibration(folder: Path) -> list[Tensor]:
    """The batches that ``save_calibration`` was given, float32.

    Raises CheckpointError, which names the file, if it is missing, damaged or holds no images.
    """
    path = folder / f"{NAME}.json"
    tensors, header = read_checkpoint(folder, NAME)
    images, size = tensors.get("images"), header.get("batch_size")
    if images is None or images.dtype != torch.uint8 or images.ndim != 4 or not len(images):
        raise CheckpointError(f"{path}: must hold uint8 images (N, C, R, R)")
    if type(size) is not int or size < 1:
        raise CheckpointError(f"{path}: batch_size must be a positive integer; got {size!r}")
    return list(to_float(images).split(size))
