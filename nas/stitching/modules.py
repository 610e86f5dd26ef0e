"""StitchedModules: networks that a user brought, joined by stitches, run along one route at a time."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from nas.blocks.stitch import least_squares
from nas.stitching.adapter import AnchorAdapter, Layout, to_map
from nas.stitching.fit import pixels
from nas.supernet.extract import calibrate_norms
from searchspaces.errors import AnchorMismatchError
from searchspaces.routes import Rule, match_cuts, ordered_pairs, route_choices, route_of
from searchspaces.space import Arch, SearchSpace, Value
from searchspaces.subnet import LayerSpec, SubnetSpec

RANK = 8


class MergedStitch(nn.Module):
    """A 1x1 map of channels from one anchor's layout to another's, as it stands in an extracted network.

    ``prefix`` (P, width) are the target's tokens that are no pixels: they have no partner in the
    source, so they start as their mean over the calibration images.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor, source: tuple[Layout, int], prefix: Tensor | None
    ) -> None:
        super().__init__()
        self.source = source
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)
        self.prefix = None if prefix is None else nn.Parameter(prefix)

    def forward(self, features: Tensor) -> Tensor:
        """Features of the source to features of the target."""
        return _stitch(features, self.weight, self.bias, self.source, self.prefix)


class ModuleStitch(nn.Module):
    """A closed-form map that is not trained plus a low-rank update from zero (SN-Netv2, arXiv 2307.00154)."""

    weight: Tensor  # (width, in_width)
    bias: Tensor

    def __init__(
        self, weight: Tensor, bias: Tensor, source: tuple[Layout, int], prefix: Tensor | None
    ) -> None:
        super().__init__()
        self.source = source
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        width, in_width = weight.shape
        rank = min(RANK, width, in_width)
        generator = torch.Generator().manual_seed(width * in_width)
        self.down = nn.Parameter(torch.randn(rank, in_width, generator=generator) / in_width**0.5)
        self.up = nn.Parameter(torch.zeros(width, rank))
        self.prefix = None if prefix is None else nn.Parameter(prefix)

    def forward(self, features: Tensor) -> Tensor:
        """Features of the source to features of the target."""
        return _stitch(features, self.weight + self.up @ self.down, self.bias, self.source, self.prefix)

    def merged(self) -> MergedStitch:
        """The same map with its own weights and the update added in."""
        weight = (self.weight + self.up @ self.down).detach().clone()
        prefix = None if self.prefix is None else self.prefix.detach().clone()
        return MergedStitch(weight, self.bias.clone(), self.source, prefix)


def _stitch(
    features: Tensor, weight: Tensor, bias: Tensor, source: tuple[Layout, int], prefix: Tensor | None
) -> Tensor:
    x = nn.functional.conv2d(to_map(features, *source, "stitch"), weight[:, :, None, None], bias)
    if prefix is None:
        return x
    return torch.cat([prefix.expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)], 1)


@dataclass(frozen=True)
class ModuleFabric:
    """Names of the anchors, cheapest first; their layers are the user's modules and have no specs."""

    anchors: tuple[str, ...]

    def slots(self) -> Mapping[str, LayerSpec]:
        """None."""
        return {}

    def within(self, anchor: str) -> Mapping[str, frozenset[str]]:
        """The one route that stays in the anchor."""
        return {"route": frozenset({anchor})}


class StitchedModules(nn.Module):
    """The anchors and the stitches between them. The route is an argument of ``forward``, never state.

    ``space`` has the choices of ``searchspaces.routes``; its archs cannot be decoded to specs, because
    the layers are the user's own. ``macs`` of a route are counted by running each part once.
    """

    def __init__(
        self,
        anchors: Sequence[AnchorAdapter],
        cuts: Mapping[str, tuple[int, ...]],
        stitches: Mapping[str, ModuleStitch],
        part_macs: Mapping[str, Sequence[int]],
        rule: Rule,
    ) -> None:
        super().__init__()
        self.cuts, self.part_macs = cuts, part_macs
        self.stems = nn.ModuleDict({a.name: a.stem for a in anchors})
        self.blocks = nn.ModuleDict({a.name: nn.ModuleList(b for _, b in a.blocks) for a in anchors})
        self.heads = nn.ModuleDict({a.name: a.head for a in anchors})
        self.stitches = nn.ModuleDict(stitches)
        self.names = {a.name: [name for name, _ in a.blocks] for a in anchors}
        order = tuple(a.name for a in anchors)
        choices = route_choices(order, len(cuts[order[0]]), rule)
        self.space = SearchSpace("stitched-modules", 1, choices, ModuleFabric(order), _no_specs)

    def forward(self, images: Tensor, arch: Arch) -> Tensor:
        """Images (B, C, R, R) to logits along the route of ``arch``."""
        x = images
        for _, module in self.path(arch):
            x = module(x)
        return x

    def path(self, arch: Arch) -> list[tuple[str, nn.Module]]:
        """Names and modules of a route in the order they run."""
        route = route_of(self.space.values(arch))
        path: list[tuple[str, nn.Module]] = [(f"{route[0].anchor}/stem", self.stems[route[0].anchor])]
        for i, segment in enumerate(route):
            if i:
                name = stitch_name(segment.start, route[i - 1].anchor, segment.anchor)
                path.append((name, self.stitches[name]))
            first, last = self._bounds(segment.anchor, segment.start, segment.stop)
            blocks = self.blocks[segment.anchor]
            assert isinstance(blocks, nn.ModuleList)
            names = self.names[segment.anchor]
            path += [(f"{segment.anchor}/{names[j]}", blocks[j]) for j in range(first, last)]
        return [*path, (f"{route[-1].anchor}/head", self.heads[route[-1].anchor])]

    def macs(self, arch: Arch) -> int:
        """Multiply-adds of the anchors' parts on the route for one image, stitches left out."""
        route = route_of(self.space.values(arch))
        total = self.part_macs[route[0].anchor][0] + self.part_macs[route[-1].anchor][-1]
        for segment in route:
            first, last = self._bounds(segment.anchor, segment.start, segment.stop)
            total += sum(self.part_macs[segment.anchor][1 + first : 1 + last])
        return total

    def extract(self, arch: Arch, images: Tensor | None = None) -> nn.Sequential:
        """The route as a network of its own: copies of the user's blocks and merged stitches.

        With ``images`` (B, C, R, R) its batch norms get the statistics that these have on this route;
        those of the anchors are mixed over all routes that were trained.
        """
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        for i, (name, module) in enumerate(self.path(arch)):
            own = module.merged() if isinstance(module, ModuleStitch) else copy.deepcopy(module)
            parts[f"{i:02d}_{name.replace('.', '_')}"] = own
        network = nn.Sequential(parts).train(self.training)
        if images is not None:
            calibrate_norms(network, [images])
        return network

    def _bounds(self, anchor: str, start: int, stop: int | None) -> tuple[int, int]:
        cuts = (0, *self.cuts[anchor])
        return cuts[start], len(self.names[anchor]) if stop is None else cuts[stop]


def stitch_modules(
    anchors: Sequence[AnchorAdapter], images: Tensor, *, rule: Rule = "two-way"
) -> StitchedModules:
    """One network out of the anchors, which share their weights with it, stitched by least squares.

    ``images`` (B, C, R, R) are what the anchors take; a few hundred suffice. Cuts are matched by
    resolution and relative depth (``match_cuts``), anchors ordered by multiply-adds.

    Raises AnchorMismatchError, which names both sides, before anything is fitted: features of no
    common side length, features that are no square maps, or heads of different outputs.
    """
    if len(anchors) < 2 or len({a.name for a in anchors}) < len(anchors):
        raise ValueError(
            f"two or more anchors of different names are needed; got {[a.name for a in anchors]}"
        )
    runs = {anchor.name: _run(anchor, images) for anchor in anchors}
    for a, b in pairwise(anchors):
        if runs[a.name].output != runs[b.name].output:
            raise AnchorMismatchError(
                f"anchors {a.name!r} and {b.name!r} cannot be stitched: their outputs for one image"
                f" have the shapes {runs[a.name].output} and {runs[b.name].output}"
            )
    cuts = match_cuts({name: [m.shape[-1] for m in run.maps] for name, run in runs.items()})
    ordered = sorted(anchors, key=lambda a: sum(runs[a.name].macs))
    by_name = {a.name: a for a in ordered}
    stitches = {}
    for source, target in ordered_pairs([a.name for a in ordered], rule):
        for cut, (i, j) in enumerate(zip(cuts[source], cuts[target], strict=True), 1):
            weight, bias = least_squares(pixels(runs[source].maps[i - 1]), pixels(runs[target].maps[j - 1]))
            prefix = runs[target].prefixes[j - 1] if by_name[target].layout == "tokens" else None
            layout = by_name[source].layout, by_name[source].prefix
            stitches[stitch_name(cut, source, target)] = ModuleStitch(weight, bias, layout, prefix)
    macs = {name: run.macs for name, run in runs.items()}
    return StitchedModules(ordered, cuts, stitches, macs, rule)


def stitch_name(cut: int, source: str, target: str) -> str:
    """How a stitch is called."""
    return f"cut{cut}/stitch-{source}-{target}"


@dataclass(frozen=True)
class _Run:
    """What an anchor does on the calibration images: maps and mean prefix tokens after each block,
    multiply-adds of stem, blocks and head for one image, shape of the output for one image.
    """

    maps: list[Tensor]
    prefixes: list[Tensor]
    macs: list[int]
    output: tuple[int, ...]


def _run(anchor: AnchorAdapter, images: Tensor) -> _Run:
    modules = [anchor.stem, *(block for _, block in anchor.blocks), anchor.head]
    training = [module.training for module in modules]
    maps, prefixes, macs = [], [], []
    x = images
    with torch.no_grad():
        for i, module in enumerate(modules):
            with FlopCounterMode(display=False) as counter:
                x = module.eval()(x)
            macs.append(counter.get_total_flops() // (2 * len(images)))
            if 0 < i < len(modules) - 1:
                maps.append(anchor.to_map(x))
                prefixes.append(
                    x[:, : anchor.prefix].mean(0) if anchor.layout == "tokens" else x.new_zeros(0)
                )
    for module, mode in zip(modules, training, strict=True):
        module.train(mode)
    return _Run(maps, prefixes, macs, tuple(x.shape[1:]))


def _no_specs(values: Mapping[str, Value]) -> SubnetSpec:
    raise TypeError(f"route {values['route']!r} is made of a user's modules, which have no layer specs")
