"""Parity: whether an exported file computes what the supernet's path computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from nas.errors import ExportError
from nas.supernet.resize import resize

TOLERANCE = 1e-4  # largest absolute error of a logit, float32
RANDOM_IMAGES = 8
SAMPLE_IMAGES = 16

Runner: TypeAlias = Callable[[Tensor], Tensor]  # images (B, C, R, R) to logits (B, n_classes)


@dataclass(frozen=True, slots=True)
class Parity:
    """How one format compares; ``error`` says why there is no number, or why it did not pass."""

    format: str
    max_abs_error: float | None
    passed: bool
    error: str | None = None


def random_images(seed: int, *, channels: int, resolution: int, n: int = RANDOM_IMAGES) -> Tensor:
    """(n, channels, resolution, resolution) float32 uniform in [0, 1): the same on every machine."""
    rng = np.random.default_rng([seed, 6])
    return torch.from_numpy(rng.random((n, channels, resolution, resolution), dtype=np.float32))


def parity_images(seed: int, samples: Tensor | None, *, channels: int, resolution: int) -> Tensor:
    """``random_images``, then the first samples (N, channels, H, W) resized to the resolution."""
    images = random_images(seed, channels=channels, resolution=resolution)
    if samples is None:
        return images
    return torch.cat([images, resize(samples[:SAMPLE_IMAGES], resolution)])


def compare(
    name: str, open_runner: Callable[[], Runner], images: Tensor, expected: Tensor, batch: int | None
) -> Parity:
    """Run a format on images (N, C, R, R) and compare with logits (N, n_classes).

    ``batch`` is the only batch size that the format takes, at most N, or None if it takes any:
    then all images are run at once and one by one. ExportError of the format is its failure.
    """
    try:
        runner = open_runner()
        error = max(
            _max_abs_error(runner, images, expected, size)
            for size in ((len(images), 1) if batch is None else (batch,))
        )
    except ExportError as failure:
        return Parity(name, None, passed=False, error=str(failure))
    if not np.isfinite(error):
        return Parity(name, None, passed=False, error="logits are not finite")
    if error > TOLERANCE:
        return Parity(name, error, passed=False, error=f"max abs error {error:.2e} is above {TOLERANCE:.0e}")
    return Parity(name, error, passed=True)


def _max_abs_error(runner: Runner, images: Tensor, expected: Tensor, batch: int) -> float:
    errors = []
    for part, target in zip(images.split(batch), expected.split(batch), strict=True):
        if len(part) == batch:
            logits = runner(part)
            if logits.shape != target.shape:
                raise ExportError(f"logits have shape {tuple(logits.shape)}; expected {tuple(target.shape)}")
            errors.append((logits - target).abs().max())
    # the maximum of a tensor keeps NaN, which Python's max may lose
    return float(torch.stack(errors).max())
