"""Large weights as eight-bit integers with a scale per row: a checkpoint of half the size of float16.

Symmetric, round to nearest (Jacob et al. 2018, arXiv 1712.05877, section 2.1, with zero point 0 and
one scale for each output channel). Small tensors, and those of one dimension, stay float16: they are
few bytes, and norms and biases suffer more from rounding than products do.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

SCALE = ":scale"  # suffix of the tensor that holds the scales of another; no parameter's name has a colon
LEVELS = 127
MIN_SIZE = 4096  # elements


def pack(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Large matrices as int8 rows with scales, other floating-point tensors as float16."""
    packed = {}
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            packed[name] = tensor
        elif tensor.ndim < 2 or tensor.numel() < MIN_SIZE:
            packed[name] = tensor.to(torch.float16)
        else:
            rows = tensor.detach().to(torch.float32).flatten(1)
            scale = (rows.abs().amax(1) / LEVELS).clamp_min(torch.finfo(torch.float32).tiny)
            packed[name] = (rows / scale[:, None]).round().to(torch.int8).reshape(tensor.shape)
            packed[name + SCALE] = scale
    return packed


def unpack(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What ``pack`` was given, up to rounding: float32 where there are scales; others as they are.

    Raises ValueError for scales that do not fit their tensor.
    """
    unpacked = {}
    for name, tensor in tensors.items():
        if name.endswith(SCALE):
            continue
        scale = tensors.get(name + SCALE)
        if scale is None:
            unpacked[name] = tensor
            continue
        if tensor.ndim < 2 or scale.shape != tensor.shape[:1]:
            raise ValueError(f"{name}: scales {tuple(scale.shape)} do not fit {tuple(tensor.shape)}")
        rows = tensor.flatten(1).to(torch.float32) * scale[:, None]
        unpacked[name] = rows.reshape(tensor.shape)
    return unpacked
