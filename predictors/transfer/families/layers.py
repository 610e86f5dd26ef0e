"""Amounts of an inverted residual layer, which hardware pays for: the physical blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from predictors.transfer.tables import FloatArray

PHYSICAL = ("calls", "multiply_adds", "elements", "weights")


@dataclass(frozen=True, slots=True)
class InvertedResidual:
    """Widths and strides of one position; ``size`` is the side length of its input in pixels."""

    in_width: int
    width: int
    stride: int
    size: float


def amounts(layer: InvertedResidual, kernel: int, expansion: float, groups: int = 1) -> list[float]:
    """Calls (1), multiply-adds, elements written and weights of expand, depthwise and project."""
    hidden = layer.in_width * expansion
    pixels, out_pixels = layer.size**2, (layer.size / layer.stride) ** 2
    pointwise_in, pointwise_out = layer.in_width * hidden / groups, hidden * layer.width / groups
    return [
        1.0,
        pixels * pointwise_in + out_pixels * (hidden * kernel**2 + pointwise_out),
        pixels * hidden + out_pixels * (hidden + layer.width),
        pointwise_in + hidden * kernel**2 + pointwise_out,
    ]


def shortcut_amounts(layer: InvertedResidual) -> list[float]:
    """Of a skipped position: a 1x1 convolution where the shapes differ, else nothing."""
    if layer.in_width == layer.width and layer.stride == 1:
        return [0.0, 0.0, 0.0, 0.0]
    pixels = (layer.size / layer.stride) ** 2
    weights = float(layer.in_width * layer.width)
    return [0.0, pixels * weights, pixels * layer.width, weights]


def unit_columns(table: FloatArray) -> FloatArray:
    """The table (…, columns) with the largest entry of each column 1."""
    top = abs(table).reshape(-1, table.shape[-1]).max(0)
    top[top == 0] = 1.0
    return np.asarray(table / top)
