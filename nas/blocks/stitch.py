"""Stitches: the linear maps between blocks of different anchors (SN-Net, arXiv 2302.06586)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nas.blocks.elastic import ElasticBlock
from nas.blocks.plain import PlainCall, plain_call
from searchspaces.subnet import StitchSpec

RANK = 8


class Stitch(nn.Module):
    """A 1x1 linear map of channels with bias, as it stands in an extracted network."""

    def __init__(self, in_width: int, width: int) -> None:
        super().__init__()
        self.map = nn.Conv2d(in_width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_width, H, W) to (B, width, H, W)."""
        return self.map(x)


class ElasticStitch(ElasticBlock[StitchSpec]):
    """A closed-form map plus a learned low-rank update: W = base + up @ down (SN-Netv2, 2307.00154).

    ``base`` and the bias come from least squares (or the identity) and are not trained;
    ``up`` starts at zero, so training starts from the closed form. The sum is formed before
    the map is applied, so extraction has nothing left to merge.
    """

    def __init__(self, bounds: StitchSpec) -> None:
        super().__init__(bounds, plain_stitch)
        self.full.requires_grad_(False)
        rank = min(RANK, bounds.in_width, bounds.width)
        self.down = nn.Parameter(torch.randn(rank, bounds.in_width) / bounds.in_width**0.5)
        self.up = nn.Parameter(torch.zeros(bounds.width, rank))
        self.set_base(torch.eye(bounds.width, bounds.in_width), torch.zeros(bounds.width))

    def set_base(self, weight: Tensor, bias: Tensor) -> None:
        """Start from this map: weight (width, in_width), bias (width,)."""
        with torch.no_grad():
            self.full.get_parameter("map.weight").copy_(weight.unflatten(1, (-1, 1, 1)))
            self.full.get_parameter("map.bias").copy_(bias)

    def slices(self, spec: StitchSpec) -> dict[str, Tensor]:
        """The merged weight (width, in_width, 1, 1) and bias (width,)."""
        tensors = super().slices(spec)
        update = self.up[: spec.width] @ self.down[:, : spec.in_width]
        return {
            "map.weight": tensors["map.weight"] + update.unflatten(1, (-1, 1, 1)),
            "map.bias": tensors["map.bias"],
        }


def plain_stitch(spec: StitchSpec) -> PlainCall:
    """The constructor call of the plain stitch."""
    return plain_call(Stitch, in_width=spec.in_width, width=spec.width)


def least_squares(source: Tensor, target: Tensor, *, ridge: float = 1e-2) -> tuple[Tensor, Tensor]:
    """The affine map from paired activations (n, in_width) to (n, width) nearest to the identity.

    Minimises |X W^T + b - Y|^2 + lambda |W - I|^2 with lambda = ``ridge`` times the mean variance
    of the source times n: well-posed for any n, and the identity where the data say nothing.
    Returns weight (width, in_width) and bias (width,) in the dtype of ``source``.
    """
    x, y = source.double(), target.double()
    x_mean, y_mean = x.mean(0), y.mean(0)
    x, y = x - x_mean, y - y_mean
    identity = torch.eye(y.shape[1], x.shape[1], dtype=x.dtype, device=x.device)
    penalty = ridge * x.square().sum() / x.shape[1] + torch.finfo(x.dtype).eps
    gram = x.T @ x + penalty * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    weight = torch.linalg.solve(gram, x.T @ y + penalty * identity.T).T
    return weight.to(source.dtype), (y_mean - weight @ x_mean).to(source.dtype)
