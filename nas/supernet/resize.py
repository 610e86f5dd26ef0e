"""Bring images to the resolution of a subnet."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def resize(images: Tensor, resolution: int) -> Tensor:
    """(B, C, H, W) to (B, C, R, R) by antialiased bilinear interpolation; the same images if equal."""
    if images.shape[2:] == (resolution, resolution):
        return images
    return F.interpolate(
        images, size=(resolution, resolution), mode="bilinear", antialias=True, align_corners=False
    )


def to_float(images: Tensor) -> Tensor:
    """uint8 in 0..255 to float32 in [0, 1], channels-last in memory."""
    return images.to(torch.float32).div_(255).contiguous(memory_format=torch.channels_last)
