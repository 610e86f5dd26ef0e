"""Presets of anchors on one grid: a network of each family, or a pool of small ones.

The family anchors grow in cost and in accuracy from convolutions to state-space blocks, because a stitch
between two networks pays where the costlier one is the better one.
"""

from __future__ import annotations

from searchspaces.stitched import AnchorConfig, StitchedConfig
from searchspaces.subnet import AttentionSpec, MBConvSpec, SSMSpec


def _conv(
    widths: tuple[int, ...], depths: tuple[int, ...], expansion: int, name: str = "conv"
) -> AnchorConfig:
    stages = zip(widths, depths, strict=True)
    return AnchorConfig(name, tuple((MBConvSpec(width, 3, expansion),) * depth for width, depth in stages))


def _attention(widths: tuple[int, ...], depths: tuple[int, ...], head_dim: int) -> AnchorConfig:
    return AnchorConfig(
        "attention",
        tuple(
            (AttentionSpec(width, max(1, width // 2 // head_dim), head_dim, 3),) * depth
            for width, depth in zip(widths, depths, strict=True)
        ),
    )


def _ssm(widths: tuple[int, ...], depths: tuple[int, ...], head_dim: int, directions: int) -> AnchorConfig:
    return AnchorConfig(
        "ssm",
        tuple(
            (SSMSpec(width, head_dim, 8, directions, 3),) * depth
            for width, depth in zip(widths, depths, strict=True)
        ),
    )


TINY = StitchedConfig(
    anchors=(
        _conv((8, 16, 24), (2, 2, 2), 2),
        _attention((16, 24, 32), (2, 2, 2), 8),
        _ssm((24, 32, 48), (2, 2, 2), 8, 2),
    ),
    resolutions=(8,),
    stem_stride=1,
    strides=(2, 2),
)
CIFAR = StitchedConfig(
    anchors=(
        _conv((12, 24, 48), (2, 3, 3), 2),
        _attention((32, 64, 128), (2, 3, 3), 16),
        _ssm((48, 96, 160), (2, 3, 3), 16, 2),
    ),
    resolutions=(32,),
    stem_stride=2,
    strides=(2, 2),
)
# Pools of small convolution networks, distilled from one large network of any family.
POOL_TINY = StitchedConfig(
    anchors=(
        _conv((4, 8, 12), (2, 2, 2), 2, "small"),
        _conv((8, 12, 16), (2, 2, 2), 2, "medium"),
        _conv((12, 16, 24), (2, 2, 2), 3, "large"),
    ),
    resolutions=(8,),
    stem_stride=1,
    strides=(2, 2),
)
POOL_CIFAR = StitchedConfig(
    anchors=(
        _conv((8, 16, 32), (2, 3, 3), 2, "small"),
        _conv((12, 24, 48), (2, 3, 3), 3, "medium"),
        _conv((16, 32, 64), (2, 3, 3), 4, "large"),
    ),
    resolutions=(32,),
    stem_stride=2,
    strides=(2, 2),
)
