"""Convolution blocks: stem, downsample, inverted residual, ConvNeXt-like, and their elastic kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.blocks.elastic import ElasticBlock, leading
from nas.blocks.plain import PlainCall, shapes
from searchspaces.subnet import ConvNeXtSpec, MBConvSpec


class ConvNorm(nn.Module):
    """Convolution and batch norm; ``folded`` has the norm merged into the convolution's bias."""

    def __init__(
        self, in_width: int, width: int, kernel: int, stride: int = 1, groups: int = 1, folded: bool = False
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_width, width, kernel, stride, kernel // 2, groups=groups, bias=folded)
        self.norm = nn.Identity() if folded else nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_width, H, W) to (B, width, H', W')."""
        return self.norm(self.conv(x))


class Stem(nn.Module):
    """Images in [0, 1] to features: normalise by ``mean`` and ``std`` per channel, then convolve."""

    mean: Tensor  # (in_channels, 1, 1)
    std: Tensor

    def __init__(self, in_channels: int, width: int, stride: int, folded: bool = False) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(in_channels, 1, 1))
        self.register_buffer("std", torch.ones(in_channels, 1, 1))
        self.conv = ConvNorm(in_channels, width, 3, stride, folded=folded)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, R, R) to (B, width, R / stride, R / stride)."""
        return F.relu(self.conv((x - self.mean) / self.std))


class Downsample(nn.Module):
    """Entry of a stage: 3x3 with stride, or 1x1 where only the width changes."""

    def __init__(self, in_width: int, width: int, stride: int, folded: bool = False) -> None:
        super().__init__()
        self.conv = ConvNorm(in_width, width, 3 if stride > 1 else 1, stride, folded=folded)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_width, H, W) to (B, width, H / stride, W / stride)."""
        return self.conv(x)


class MBConv(nn.Module):
    """Inverted residual (MobileNetV2, arXiv 1801.04381): expand, depthwise, project, add."""

    def __init__(self, width: int, kernel: int, expansion: int, folded: bool = False) -> None:
        super().__init__()
        hidden = width * expansion
        self.expand = ConvNorm(width, hidden, 1, folded=folded)
        self.depthwise = ConvNorm(hidden, hidden, kernel, groups=hidden, folded=folded)
        self.project = ConvNorm(hidden, width, 1, folded=folded)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) to the same shape."""
        return x + self.project(F.relu(self.depthwise(F.relu(self.expand(x)))))


class ConvNeXt(nn.Module):
    """ConvNeXt block (arXiv 2201.03545) without layer scale: depthwise, layer norm, MLP, add."""

    def __init__(self, width: int, kernel: int, expansion: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, width * expansion)
        self.project = nn.Linear(width * expansion, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) to the same shape."""
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.project(F.gelu(self.expand(y)))
        return x + y.permute(0, 3, 1, 2)


ConvSpecT = TypeVar("ConvSpecT", bound=MBConvSpec | ConvNeXtSpec)


class ElasticKernelBlock(ElasticBlock[ConvSpecT], Generic[ConvSpecT]):
    """An elastic block whose depthwise kernel is elastic too.

    A smaller kernel is the centre of the next larger one times a learned matrix, which starts
    as the identity and is shared by all channels (OFA, arXiv 1908.09791, section 3.3).
    """

    def __init__(self, bounds: ConvSpecT, plain: Callable[[ConvSpecT], PlainCall], weight: str) -> None:
        super().__init__(bounds, plain)
        self.weight = weight
        sizes = range(bounds.kernel - 2, 2, -2)
        self.transforms = nn.ParameterDict({str(k): nn.Parameter(torch.eye(k * k)) for k in sizes})

    def slices(self, spec: ConvSpecT) -> dict[str, Tensor]:
        """As the base class, with the kernel transformed instead of cut at its corner."""
        full = self._tensors()
        wanted = shapes(self.plain(spec))
        tensors = {name: leading(full[name], shape) for name, shape in wanted.items() if name != self.weight}
        tensors[self.weight] = self._kernel(full[self.weight][: wanted[self.weight][0]], spec.kernel)
        return tensors

    def _kernel(self, weight: Tensor, kernel: int) -> Tensor:
        for size in range(weight.shape[-1] - 2, kernel - 1, -2):
            centre = weight[..., 1:-1, 1:-1].flatten(2)
            weight = (centre @ self.transforms[str(size)]).unflatten(2, (size, size))
        return weight
