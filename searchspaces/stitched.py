"""Stitched spaces: complete anchor networks of different families, and the routes through them.

Every anchor has its own stem, downsamples, blocks and head, and its own widths, so a stitch is
a real map from one feature space to another. ``stitched`` allows the routes of SN-Net (arXiv
2302.06586), ``stitched2`` those of SN-Netv2 (arXiv 2307.00154): see ``routes``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

from searchspaces.cost import cost
from searchspaces.fabric import stitch_slot
from searchspaces.routes import Route, Rule, Segment, match_cuts, ordered_pairs, route_choices, route_of
from searchspaces.space import Choice, SearchSpace, Value
from searchspaces.subnet import (
    BlockSpec,
    DownsampleSpec,
    HeadSpec,
    Layer,
    LayerSpec,
    StemSpec,
    StitchSpec,
    SubnetSpec,
)

IMAGE_CHANNELS, CLASSES = 3, 10  # of the network whose MACs order the anchors


@dataclass(frozen=True, slots=True)
class AnchorConfig:
    """One complete network: its blocks stage by stage, all of one width within a stage."""

    name: str
    stages: tuple[tuple[BlockSpec, ...], ...]


@dataclass(frozen=True, slots=True)
class StitchedConfig:
    """Anchors on a common grid: the stem's stride and the stride at the entry of every later stage."""

    anchors: tuple[AnchorConfig, ...]
    resolutions: tuple[int, ...]
    stem_stride: int
    strides: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AnchorChain:
    """An anchor as layers: ``units`` are what a route takes block by block; a stage's entry goes
    with its first block, the stem with the very first. ``widths`` are the channels after each unit.
    """

    name: str
    units: tuple[tuple[Layer, ...], ...]
    widths: tuple[int, ...]
    head: Layer


@dataclass(frozen=True, slots=True)
class StitchedFabric:
    """Anchors, cheapest first; ``cuts[anchor][c - 1]`` units of an anchor lie before cut c."""

    chains: tuple[AnchorChain, ...]
    cuts: Mapping[str, tuple[int, ...]]
    stitches: Mapping[str, StitchSpec]

    @property
    def anchors(self) -> tuple[str, ...]:
        """Names of the anchors, cheapest first."""
        return tuple(chain.name for chain in self.chains)

    @property
    def n_cuts(self) -> int:
        """How many places a route can switch at."""
        return len(self.cuts[self.chains[0].name])

    def chain(self, anchor: str) -> AnchorChain:
        """The anchor of this name."""
        return next(chain for chain in self.chains if chain.name == anchor)

    def slots(self) -> Mapping[str, LayerSpec]:
        """Every weight slot: anchor by anchor, then the stitches."""
        slots: dict[str, LayerSpec] = {}
        for chain in self.chains:
            for layer in (*(layer for unit in chain.units for layer in unit), chain.head):
                slots[layer.slot] = layer.spec
        return {**slots, **self.stitches}

    def within(self, anchor: str) -> Mapping[str, frozenset[str]]:
        """The one route that stays in the anchor."""
        return {"route": frozenset({anchor})} if len(self.chains) > 1 else {}

    def layers(self, route: Route) -> tuple[Layer, ...]:
        """The layers of a route in the order they run, with a stitch wherever the anchor changes."""
        layers: list[Layer] = []
        for before, segment in zip((None, *route), route, strict=False):
            if before is not None:
                slot = stitch_slot(cut_name(segment.start), before.anchor, segment.anchor)
                layers.append(Layer(slot, self.stitches[slot]))
            chain, cuts = self.chain(segment.anchor), (0, *self.cuts[segment.anchor])
            stop = len(chain.units) if segment.stop is None else cuts[segment.stop]
            layers += [layer for unit in chain.units[cuts[segment.start] : stop] for layer in unit]
        return (*layers, self.chain(route[-1].anchor).head)


def cut_name(cut: int) -> str:
    """How slots call a cut."""
    return f"cut{cut}"


def stitched_space(name: str, config: StitchedConfig, rule: Rule, *, version: int = 1) -> SearchSpace:
    """The space of all routes that ``rule`` allows through these anchors.

    Raises ValueError for a stage of unequal widths or another number of stages than the grid's,
    AnchorMismatchError for anchors without a common resolution.
    """
    largest = config.resolutions[-1]
    chains = sorted(
        (_chain(name, config, anchor) for anchor in config.anchors), key=lambda chain: _macs(chain, largest)
    )
    cuts = match_cuts({chain.name: _sizes(chain, largest) for chain in chains})
    fabric = StitchedFabric(tuple(chains), cuts, _stitches(chains, cuts, rule))
    return SearchSpace(
        name=name,
        version=version,
        choices=(
            Choice("resolution", config.resolutions),
            *route_choices(fabric.anchors, fabric.n_cuts, rule),
        ),
        fabric=fabric,
        build=partial(_build, fabric),
    )


def anchor_space(name: str, config: StitchedConfig, anchor: str, *, version: int = 1) -> SearchSpace:
    """The space that holds one anchor alone, with the slots that it has in the stitched spaces.

    A supernet of it *is* that anchor, so an anchor is trained, stored and extracted like any supernet.
    """
    chain = _chain(name, config, next(a for a in config.anchors if a.name == anchor))
    fabric = StitchedFabric((chain,), {anchor: ()}, {})
    choices = (Choice("resolution", config.resolutions),)
    return SearchSpace(name, version, choices, fabric, partial(_build_alone, fabric))


def _build(fabric: StitchedFabric, values: Mapping[str, Value]) -> SubnetSpec:
    return SubnetSpec(cast(int, values["resolution"]), fabric.layers(route_of(values)))


def _build_alone(fabric: StitchedFabric, values: Mapping[str, Value]) -> SubnetSpec:
    route = (Segment(fabric.anchors[0], 0, None),)
    return SubnetSpec(cast(int, values["resolution"]), fabric.layers(route))


def _chain(space: str, config: StitchedConfig, anchor: AnchorConfig) -> AnchorChain:
    if len(anchor.stages) != len(config.strides) + 1:
        raise ValueError(
            f"{space}: anchor {anchor.name!r} has {len(anchor.stages)} stages,"
            f" the grid has {len(config.strides) + 1}"
        )
    units: list[tuple[Layer, ...]] = []
    widths: list[int] = []
    for s, stage in enumerate(anchor.stages):
        width = stage[0].width
        if any(block.width != width for block in stage):
            raise ValueError(f"{space}: stage {s} of anchor {anchor.name!r} must have one width")
        entry: LayerSpec = StemSpec(width, config.stem_stride)
        if s:
            entry = DownsampleSpec(widths[-1], width, config.strides[s - 1])
        entry_slot = f"{anchor.name}/s{s}.downsample" if s else f"{anchor.name}/stem"
        for b, block in enumerate(stage):
            layer = Layer(f"{anchor.name}/s{s}.b{b}", block)
            units.append((layer,) if b else (Layer(entry_slot, entry), layer))
            widths.append(width)
    return AnchorChain(
        anchor.name, tuple(units), tuple(widths), Layer(f"{anchor.name}/head", HeadSpec(widths[-1]))
    )


def _subnet(chain: AnchorChain, resolution: int) -> SubnetSpec:
    return SubnetSpec(resolution, (*(layer for unit in chain.units for layer in unit), chain.head))


def _macs(chain: AnchorChain, resolution: int) -> int:
    return cost(_subnet(chain, resolution), in_channels=IMAGE_CHANNELS, n_classes=CLASSES).macs


def _sizes(chain: AnchorChain, resolution: int) -> list[int]:
    """Side length in pixels after each unit."""
    subnet = _subnet(chain, resolution)
    after = dict(zip((layer.slot for layer in subnet.layers), subnet.sizes[1:], strict=False))
    return [after[unit[-1].slot] for unit in chain.units]


def _stitches(
    chains: Sequence[AnchorChain], cuts: Mapping[str, Sequence[int]], rule: Rule
) -> Mapping[str, StitchSpec]:
    widths = {chain.name: [chain.widths[cut - 1] for cut in cuts[chain.name]] for chain in chains}
    return {
        stitch_slot(cut_name(cut + 1), source, target): StitchSpec(
            source, target, widths[source][cut], widths[target][cut]
        )
        for cut in range(len(cuts[chains[0].name]))
        for source, target in ordered_pairs([chain.name for chain in chains], rule)
    }
