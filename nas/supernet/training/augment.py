"""Augmentation of image batches on tensors; every random number from a given generator."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

PADDING = 4  # pixels, for the 32-pixel images of CIFAR (arXiv 1512.03385, section 4.2)
ROTATION = math.radians(10)
SCALE = 0.1
SHIFT = 0.1


def augment(images: Tensor, kind: Literal["none", "affine", "crop-flip"], generator: Generator) -> Tensor:
    """Float images (B, C, H, W) to the same shape; ``generator`` lives on the CPU."""
    match kind:
        case "none":
            return images
        case "affine":
            return random_affine(images, generator)
        case "crop-flip":
            return random_crop_flip(images, generator)


def augmentation_for(in_channels: int) -> Literal["affine", "crop-flip"]:
    """What "auto" means: grey images are digits or garments that must not be mirrored."""
    return "affine" if in_channels == 1 else "crop-flip"


def random_affine(images: Tensor, generator: Generator) -> Tensor:
    """Rotate by up to 10 degrees, scale and shift by up to 10 %, bilinear, zeros outside."""
    n = len(images)
    angle, scale, dx, dy = 2 * torch.rand(4, n, generator=generator) - 1
    angle, scale = angle * ROTATION, 1 + scale * SCALE
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    rows = torch.stack([cos, -sin, 2 * SHIFT * dx, sin, cos, 2 * SHIFT * dy], 1)
    theta = rows.unflatten(1, (2, 3)).to(images.device)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def random_crop_flip(images: Tensor, generator: Generator) -> Tensor:
    """Zero-pad by an eighth of the side (4 of 32 pixels), crop at random, mirror half of them."""
    n, _, height, width = images.shape
    pad = max(1, PADDING * height // 32)
    padded = F.pad(images, (pad, pad, pad, pad))
    dy, dx = torch.randint(0, 2 * pad + 1, (2, n, 1), generator=generator)
    flip = torch.rand(n, 1, generator=generator) < 0.5
    rows = torch.arange(height) + dy
    columns = torch.arange(width) + dx
    columns = torch.where(flip, columns.flip(1), columns)
    index = torch.arange(n)[:, None, None]
    cropped = padded.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]]
    return cropped.permute(0, 3, 1, 2)
