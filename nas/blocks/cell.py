"""The layers of NAS-Bench-201 (arXiv 2001.00326, section 2.1): stem, cell, residual entry, head."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.blocks.conv import ConvNorm
from searchspaces.subnet import CELL_EDGES, CellSpec


class CellStem(nn.Module):
    """Images in [0, 1] to features: normalise by ``mean`` and ``std`` per channel, then convolve."""

    mean: Tensor  # (in_channels, 1, 1)
    std: Tensor

    def __init__(self, in_channels: int, width: int, folded: bool = False) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(in_channels, 1, 1))
        self.register_buffer("std", torch.ones(in_channels, 1, 1))
        self.conv = ConvNorm(in_channels, width, 3, folded=folded)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, R, R) to (B, width, R, R)."""
        return self.conv((x - self.mean) / self.std)


class ReLUConvNorm(nn.Module):
    """ReLU, convolution, batch norm."""

    def __init__(self, in_width: int, width: int, kernel: int, stride: int = 1, folded: bool = False) -> None:
        super().__init__()
        self.body = ConvNorm(in_width, width, kernel, stride, folded=folded)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_width, H, W) to (B, width, H', W')."""
        return self.body(F.relu(x))


class Cell(nn.Module):
    """Four nodes, each the sum of the operators on its incoming edges; node 3 is the output.

    ``edges`` is the text form of CellSpec.edges: edges separated by "|", operators of one by "+".
    A node that nothing leads to is zero.
    """

    def __init__(self, in_width: int, width: int, edges: str, folded: bool = False) -> None:
        super().__init__()
        self.width = width
        self.operators = nn.ModuleDict()
        for (source, target), names in zip(CELL_EDGES, edges.split("|"), strict=True):
            for name in filter(None, names.split("+")):
                first = in_width if source == 0 else width
                self.operators[f"{source}_{target}_{name}"] = cell_operator(name, first, width, folded)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_width, H, W) to (B, width, H, W)."""
        nodes: dict[int, Tensor] = {0: x}
        for key, operator in self.operators.items():
            source, target = int(key[0]), int(key[2])
            if source not in nodes:
                nodes[source] = self.zeros(x)
            y = operator(nodes[source])
            nodes[target] = nodes[target] + y if target in nodes else y
        return nodes[3] if 3 in nodes else self.zeros(x)

    def zeros(self, x: Tensor) -> Tensor:
        """Zeros (B, width, H, W) computed from ``x``, so that exported graphs keep the batch size open."""
        return x[:, :1] * torch.zeros(1, self.width, 1, 1, device=x.device)


def cell_operator(name: str, in_width: int, width: int, folded: bool) -> nn.Module:
    """The module of one of CELL_OPERATORS; raises ValueError for any other name."""
    match name:
        case "skip_connect":
            return nn.Identity()
        case "avg_pool_3x3":
            return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
        case "project":
            return ConvNorm(in_width, width, 1, folded=folded)
        case "nor_conv_1x1":
            return ReLUConvNorm(in_width, width, 1, folded=folded)
        case "nor_conv_3x3":
            return ReLUConvNorm(in_width, width, 3, folded=folded)
        case _:
            raise ValueError(f"a cell has no operator {name!r}")


class Residual(nn.Module):
    """Basic residual block with stride 2; the shortcut is a 2x2 average and a 1x1 convolution."""

    def __init__(self, in_width: int, width: int, folded: bool = False) -> None:
        super().__init__()
        self.conv_a = ReLUConvNorm(in_width, width, 3, stride=2, folded=folded)
        self.conv_b = ReLUConvNorm(width, width, 3, folded=folded)
        self.shortcut = nn.Conv2d(in_width, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_width, H, W) to (B, width, H / 2, W / 2), rounded up."""
        return self.shortcut(F.avg_pool2d(x, 2, ceil_mode=True)) + self.conv_b(self.conv_a(x))


class CellHead(nn.Module):
    """Batch norm, ReLU, global average pooling, linear classifier."""

    def __init__(self, width: int, n_classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width)
        self.classifier = nn.Linear(width, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) to logits (B, n_classes)."""
        return self.classifier(F.relu(self.norm(x)).mean((2, 3)))


def edges_text(spec: CellSpec) -> str:
    """``spec.edges`` as the argument of Cell: "nor_conv_3x3||skip_connect+project|…"."""
    return "|".join("+".join(operators) for operators in spec.edges)
