"""Stochastic depth (arXiv 1603.09382): residual blocks left out for random images."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Generator, Tensor

from searchspaces.subnet import AttentionSpec, ConvNeXtSpec, Layer, LayerSpec, MBConvSpec, SSMSpec

RESIDUAL = (MBConvSpec, ConvNeXtSpec, AttentionSpec, SSMSpec)  # blocks that add to their input


class DropPath:
    """Drops the whole residual of a block for single images, kept ones scaled up accordingly.

    The rate grows linearly over the slots that hold residual blocks, in the order of the chain, up
    to ``rate`` at the last one. Masks come from ``generator``, which lives on the CPU.
    """

    def __init__(self, slots: Mapping[str, LayerSpec], rate: float, generator: Generator) -> None:
        residual = [slot for slot, bounds in slots.items() if isinstance(bounds, RESIDUAL)]
        self.rates = {slot: rate * (i + 1) / len(residual) for i, slot in enumerate(residual)}
        self.generator = generator

    def __call__(self, layer: Layer, x: Tensor, y: Tensor) -> Tensor:
        """What the block of input ``x`` (B, C, H, W) and output ``y`` puts out instead of ``y``."""
        rate = self.rates.get(layer.slot)
        if rate is None:
            return y
        keep = (torch.rand(len(x), generator=self.generator) >= rate).to(y.device, y.dtype) / (1 - rate)
        return x + (y - x) * keep[:, None, None, None]
