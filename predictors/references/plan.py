"""What the reference networks are made of, as plain data: chains of operators with random weights.

Their times say whether two campaigns found the device in the same condition, and by how much its
speed differed. One network would not do: the level of a single one moved by up to 1.5 between
processes while thirty others moved by 3 %; the geometric mean of five moved by 1.2 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

VERSION = 1  # raised whenever a network changes: times of two versions are not compared
SIDE = 16  # of the images (1, 3, SIDE, SIDE), pixels


@dataclass(frozen=True, slots=True)
class Conv:
    """A k x k convolution without bias, padded by k // 2, and a ReLU."""

    c_in: int
    c_out: int
    k: int
    groups: int = 1
    stride: int = 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the weight: (c_out, c_in / groups, k, k)."""
        return (self.c_out, self.c_in // self.groups, self.k, self.k)


@dataclass(frozen=True, slots=True)
class Product:
    """A matrix product along the width, and a softmax over it."""

    width: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the weight: (width, width)."""
        return (self.width, self.width)


@dataclass(frozen=True, slots=True)
class Scale:
    """A factor per channel, and a sigmoid."""

    channels: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the weight: (channels, 1, 1)."""
        return (self.channels, 1, 1)


Step: TypeAlias = Conv | Product | Scale

# What the spaces' networks are made of, each kind of work on its own: dense convolutions, depthwise
# ones, pointwise ones, matrix products (attention and state-space blocks are made of them),
# element-wise work on large maps, and a mixture. A mean over the pixels ends each of them.
PLANS: tuple[tuple[Step, ...], ...] = (
    (Conv(3, 24, 3), Conv(24, 24, 3), Conv(24, 24, 3)),
    (Conv(3, 48, 1), *[Conv(48, 48, 5, groups=48)] * 4),
    (Conv(3, 64, 1), Conv(64, 128, 1), Conv(128, 64, 1)),
    (Conv(3, 64, 1), *[Product(SIDE)] * 4),
    (Conv(3, 96, 1), *[Scale(96)] * 6),
    (Conv(3, 32, 3, stride=2), Conv(32, 64, 1), Conv(64, 64, 3, groups=64), Conv(64, 96, 1)),
)


def weights(number: int) -> list[NDArray[np.float32]]:
    """The weights of the steps of network ``number``, in their order; always the same."""
    rng = np.random.default_rng([VERSION, number])
    arrays = []
    for step in PLANS[number]:
        fan_in = max(1, int(np.prod(step.shape[1:])))
        arrays.append(rng.standard_normal(step.shape).astype(np.float32) / np.float32(fan_in**0.5))
    return arrays
