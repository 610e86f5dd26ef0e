"""What a hybrid space is configured by, and the blocks that its choices describe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from searchspaces.space import Value
from searchspaces.subnet import AttentionSpec, BlockSpec, ConvNeXtSpec, MBConvSpec, SSMSpec

OPERATORS = ("mbconv", "convnext", "ssm", "attention")
FAMILIES = ("conv", "attention", "ssm")


@dataclass(frozen=True, slots=True)
class Stage:
    """Elastic bounds of one stage: its widths (channels), depths (blocks) and stride at entry."""

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    stride: int


@dataclass(frozen=True, slots=True)
class HybridConfig:
    """Everything that distinguishes one hybrid space from another.

    ``head_dim`` divides every width. Values of each tuple are ascending.
    """

    stages: tuple[Stage, ...]
    resolutions: tuple[int, ...]
    stem_stride: int
    head_dim: int
    kernels: tuple[int, ...] = (3, 5, 7)
    expansions: tuple[int, ...] = (2, 3, 4)
    heads: tuple[int, ...] = (1, 2, 4)
    states: tuple[int, ...] = (4, 8, 16)
    directions: tuple[int, ...] = (1, 2, 4)


def block_spec(config: HybridConfig, values: Mapping[str, Value], name: str, width: int) -> BlockSpec:
    """The block that the choices ``NAME.operator``, ``NAME.expansion``, … describe, of this width."""

    def value(dimension: str) -> int:
        return cast(int, values[f"{name}.{dimension}"])

    match values[f"{name}.operator"]:
        case "mbconv":
            return MBConvSpec(width, value("kernel"), value("expansion"))
        case "convnext":
            return ConvNeXtSpec(width, value("kernel"), value("expansion"))
        case "attention":
            return AttentionSpec(width, value("heads"), config.head_dim, value("expansion"))
        case "ssm":
            return SSMSpec(width, config.head_dim, value("state"), value("directions"), value("expansion"))
        case other:
            raise ValueError(f"{name}: no operator {other!r}")
