"""The reference networks as torch modules, for the runtimes of the local machine."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from predictors.references.plan import PLANS, SIDE, VERSION, Conv, Product, Scale, Step, weights
from searchspaces.space import Arch

SPACE = f"reference@{VERSION}"  # stands for a space: references are known by their number


class ReferenceConv(nn.Module):
    """See ``plan.Conv``."""

    def __init__(self, step: Conv, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.stride, self.padding, self.groups = step.stride, step.k // 2, step.groups

    def forward(self, x: Tensor) -> Tensor:
        """(B, c_in, H, W) to (B, c_out, H / stride, W / stride)."""
        return F.relu(F.conv2d(x, self.weight, None, self.stride, self.padding, 1, self.groups))


class ReferenceProduct(nn.Module):
    """See ``plan.Product``."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, width) to the same shape."""
        return F.softmax(torch.matmul(x, self.weight), dim=-1)


class ReferenceScale(nn.Module):
    """See ``plan.Scale``."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to the same shape."""
        return torch.sigmoid(x * self.weight)


class ReferenceNet(nn.Module):
    """A chain of steps and a mean over the pixels."""

    def __init__(self, steps: list[nn.Module]) -> None:
        super().__init__()
        self.steps = nn.Sequential(*steps)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, SIDE, SIDE) to logits (B, C)."""
        maps: Tensor = self.steps(images)
        return maps.mean(dim=(2, 3))


def reference_candidates(batch_size: int = 1) -> dict[Arch, tuple[nn.Module, Tensor]]:
    """The networks in eval mode by number, each with random images (batch_size, 3, SIDE, SIDE)."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand((batch_size, 3, SIDE, SIDE), generator=generator)
    return {
        Arch(SPACE, (number,)): (
            ReferenceNet([_module(*pair) for pair in zip(plan, weights(number), strict=True)]).eval(),
            images,
        )
        for number, plan in enumerate(PLANS)
    }


def _module(step: Step, weight: NDArray[np.float32]) -> nn.Module:
    tensor = torch.from_numpy(weight)
    match step:
        case Conv():
            return ReferenceConv(step, tensor)
        case Product():
            return ReferenceProduct(tensor)
        case Scale():
            return ReferenceScale(tensor)
