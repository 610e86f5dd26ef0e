"""The hybrid space: at every position a convolution, an attention or a state-space block.

Four stages of elastic width and depth. Blocks of the same family across positions form an
anchor; where a path changes family it crosses a stitch.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import permutations
from typing import cast

from searchspaces.fabric import Candidate, Fabric, Position, block_slot, downsample_slot, stitch_slot
from searchspaces.hybrid_blocks import FAMILIES, OPERATORS, HybridConfig, Stage, block_spec
from searchspaces.hybrid_parts import HybridParts
from searchspaces.space import Choice, SearchSpace, Value
from searchspaces.subnet import (
    AttentionSpec,
    BlockSpec,
    ConvNeXtSpec,
    DownsampleSpec,
    HeadSpec,
    Layer,
    MBConvSpec,
    SSMSpec,
    StemSpec,
    StitchSpec,
    SubnetSpec,
)


def hybrid_space(name: str, config: HybridConfig, *, version: int = 1) -> SearchSpace:
    """The search space of this configuration.

    Raises ValueError when a width is no multiple of ``head_dim``.
    """
    for stage in config.stages:
        for width in stage.widths:
            if width % config.head_dim:
                raise ValueError(f"{name}: width {width} is no multiple of head_dim {config.head_dim}")
    choices = _choices(config)
    return SearchSpace(
        name=name,
        version=version,
        choices=choices,
        fabric=_fabric(config),
        build=partial(_build, config),
        parts=HybridParts(config, tuple(choice.name for choice in choices)),
    )


def _choices(config: HybridConfig) -> tuple[Choice, ...]:
    choices = [Choice("resolution", config.resolutions)]
    for s, stage in enumerate(config.stages):
        choices += [Choice(f"s{s}.width", stage.widths), Choice(f"s{s}.depth", stage.depths)]
        for b in range(stage.depths[-1]):
            choices += _block_choices(config, f"s{s}.b{b}", _present(f"s{s}.depth", stage, b))
    return tuple(choices)


def _present(depth: str, stage: Stage, block: int) -> tuple[str, frozenset[Value]] | None:
    deep_enough = frozenset[Value](d for d in stage.depths if d > block)
    return None if len(deep_enough) == len(stage.depths) else (depth, deep_enough)


def _block_choices(
    config: HybridConfig, name: str, present: tuple[str, frozenset[Value]] | None
) -> list[Choice]:
    def only(*operators: str) -> tuple[str, frozenset[Value]]:
        return f"{name}.operator", frozenset[Value](operators)

    return [
        Choice(f"{name}.operator", OPERATORS, present),
        Choice(f"{name}.expansion", config.expansions, present),
        Choice(f"{name}.kernel", config.kernels, only("mbconv", "convnext")),
        Choice(f"{name}.heads", config.heads, only("attention")),
        Choice(f"{name}.state", config.states, only("ssm")),
        Choice(f"{name}.directions", config.directions, only("ssm")),
    ]


def _fabric(config: HybridConfig) -> Fabric:
    positions: list[Position] = []
    in_width = config.stages[0].widths[-1]
    for s, stage in enumerate(config.stages):
        width = stage.widths[-1]
        for b in range(stage.depths[-1]):
            opens = b == 0 and s > 0
            positions.append(
                Position(
                    name=f"s{s}.b{b}",
                    downsample=DownsampleSpec(in_width, width, stage.stride) if opens else None,
                    candidates=_candidates(config, width),
                    stitches=_stitches(width) if positions else (),
                )
            )
        in_width = width
    stem = StemSpec(config.stages[0].widths[-1], config.stem_stride)
    return Fabric(stem, tuple(positions), HeadSpec(in_width))


def _candidates(config: HybridConfig, width: int) -> tuple[Candidate, ...]:
    bounds: tuple[BlockSpec, ...] = (
        MBConvSpec(width, config.kernels[-1], config.expansions[-1]),
        ConvNeXtSpec(width, config.kernels[-1], config.expansions[-1]),
        SSMSpec(width, config.head_dim, config.states[-1], config.directions[-1], config.expansions[-1]),
        AttentionSpec(width, config.heads[-1], config.head_dim, config.expansions[-1]),
    )
    return tuple(Candidate(spec.kind, spec, spec.family) for spec in bounds)


def _stitches(width: int) -> tuple[StitchSpec, ...]:
    return tuple(StitchSpec(a, b, width, width) for a, b in permutations(FAMILIES, 2))


def _build(config: HybridConfig, values: Mapping[str, Value]) -> SubnetSpec:
    width = cast(int, values["s0.width"])
    layers = [Layer("stem", StemSpec(width, config.stem_stride))]
    family: str | None = None
    for s, stage in enumerate(config.stages):
        in_width, width = width, cast(int, values[f"s{s}.width"])
        if s > 0:
            down = DownsampleSpec(in_width, width, stage.stride)
            layers.append(Layer(downsample_slot(f"s{s}.b0"), down))
        for b in range(cast(int, values[f"s{s}.depth"])):
            name = f"s{s}.b{b}"
            spec = block_spec(config, values, name, width)
            if family is not None and family != spec.family:
                stitch = StitchSpec(family, spec.family, width, width)
                layers.append(Layer(stitch_slot(name, stitch.source, stitch.target), stitch))
            layers.append(Layer(block_slot(name, spec.kind), spec))
            family = spec.family
    layers.append(Layer("head", HeadSpec(width)))
    return SubnetSpec(cast(int, values["resolution"]), tuple(layers))
