"""Stitched spaces: their routes, their laws, what they refuse."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from searchspaces.cost import cost
from searchspaces.errors import AnchorMismatchError, ForbiddenRouteError, InvalidArchError, UnknownSpaceError
from searchspaces.registry import anchor_space_name, get_space
from searchspaces.routes import arch_of_route, match_cuts, route_choices, route_name, route_of
from searchspaces.space import SearchSpace
from searchspaces.subnet import DownsampleSpec, Layer, StemSpec, StitchSpec

NAMES = ("stitched-tiny", "stitched2-tiny", "stitched-cifar", "stitched2-cifar")


def macs(space: SearchSpace, route: str) -> int:
    return cost(space.decode(arch_of_route(space, route)), in_channels=3, n_classes=10).macs


@pytest.mark.parametrize("name", NAMES)
def test_every_arch_is_another_network_and_the_count_is_exact(name: str) -> None:
    space = get_space(name)
    archs = list(space.archs())
    assert len(archs) == len(set(archs)) == space.size()
    assert len({space.decode(arch) for arch in archs}) == space.size()
    assert len(np.unique(space.encode(archs), axis=0)) == space.size()


def test_sizes_follow_from_the_rules() -> None:
    one_way, two_way = get_space("stitched-tiny"), get_space("stitched2-tiny")
    cuts = 5
    assert one_way.size() == 3 + 2 * cuts
    assert two_way.size() == 3 + 6 * cuts + 6 * cuts * (cuts - 1) // 2


@pytest.mark.parametrize("name", NAMES)
def test_widths_chain_up_and_stitches_stand_where_the_anchor_changes(name: str) -> None:
    space = get_space(name)
    for arch in space.archs():
        width, anchor = 0, None
        for layer in space.decode(arch).layers:
            spec = layer.spec
            if isinstance(spec, StitchSpec | DownsampleSpec):
                assert spec.in_width == width
            elif not isinstance(spec, StemSpec):
                assert spec.width == width
            width = spec.width
            if isinstance(spec, StitchSpec):
                assert spec.source == anchor
                anchor = spec.target
            elif anchor is None:
                anchor = owner(layer)
            else:
                assert owner(layer) == anchor


def owner(layer: Layer) -> str:
    return layer.slot.partition("/")[0]


@pytest.mark.parametrize("name", NAMES)
def test_every_slot_is_used_at_its_bounds(name: str) -> None:
    space = get_space(name)
    seen = {layer.slot: layer.spec for arch in space.archs() for layer in space.decode(arch).layers}
    assert seen == dict(space.fabric.slots())


@pytest.mark.parametrize("name", NAMES)
def test_anchors_are_ordered_by_cost_and_every_stage_has_its_own_widths(name: str) -> None:
    space = get_space(name)
    costs = [macs(space, anchor) for anchor in space.fabric.anchors]
    assert costs == sorted(costs)
    stitches = [spec for spec in space.fabric.slots().values() if isinstance(spec, StitchSpec)]
    assert stitches
    assert all(stitch.in_width != stitch.width for stitch in stitches)


def test_one_way_routes_go_to_the_next_costlier_anchor_only() -> None:
    space = get_space("stitched-tiny")
    order = space.fabric.anchors
    mixed = {tuple(str(value).split(">")) for value in space.choices[1].values} - {(a,) for a in order}
    assert mixed == set(pairwise(order))


@pytest.mark.parametrize("name", NAMES)
def test_routes_round_trip_as_text(name: str) -> None:
    space = get_space(name)
    for arch in space.archs():
        assert arch_of_route(space, route_name(route_of(space.values(arch)))) == arch


@pytest.mark.parametrize(
    ("name", "route"),
    [
        ("stitched-tiny", "ssm@2>attention"),  # back to a cheaper anchor
        ("stitched-tiny", "conv@2>ssm"),  # over a neighbour's head
        ("stitched-tiny", "conv@1>attention@3>conv"),  # twice
        ("stitched2-tiny", "conv@1>attention@3>ssm"),  # three anchors
        ("stitched2-tiny", "conv@3>ssm@3>conv"),
        ("stitched2-tiny", "conv@6>ssm"),
        ("stitched2-tiny", "conv@0>ssm"),
        ("stitched2-tiny", "conv>ssm"),
        ("stitched2-tiny", "mamba"),
        ("stitched2-tiny", ""),
    ],
)
def test_a_forbidden_route_is_named_with_what_is_allowed(name: str, route: str) -> None:
    with pytest.raises(ForbiddenRouteError) as error:
        arch_of_route(get_space(name), route)
    assert repr(route) in str(error.value)
    assert "conv>attention" in str(error.value)
    assert "1..5" in str(error.value)
    assert isinstance(error.value, InvalidArchError)


def test_resolutions_and_single_anchors_are_spaces_too() -> None:
    assert get_space("stitched2-cifar-r16-24").size() == 2 * get_space("stitched2-cifar").size()
    alone, whole = get_space("anchor-cifar-ssm-r24"), get_space("stitched2-cifar-r24")
    assert alone.size() == 1
    assert anchor_space_name(whole.name, "ssm") == alone.name
    assert alone.decode(alone.extreme(largest=True)) == whole.decode(arch_of_route(whole, "ssm"))


@pytest.mark.parametrize(
    "name", ["stitched3-tiny", "stitched-big", "anchor-tiny", "anchor-tiny-mlp", "stitched-tiny-ssm"]
)
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(UnknownSpaceError):
        get_space(name)
    with pytest.raises(UnknownSpaceError):
        anchor_space_name("hybrid-tiny", "conv")


class TestMatchCuts:
    def test_equal_depths_are_cut_after_every_block(self) -> None:
        assert match_cuts({"a": [8, 8, 4], "b": [8, 8, 4]}) == {"a": (1, 2), "b": (1, 2)}

    def test_a_deeper_anchor_is_cut_at_the_same_relative_depth(self) -> None:
        cuts = match_cuts({"a": [8, 8, 4, 4], "b": [8, 8, 8, 8, 4, 4, 4]})
        assert cuts == {"a": (1, 2, 3), "b": (2, 4, 6)}

    def test_only_common_resolutions_are_cut(self) -> None:
        cuts = match_cuts({"a": [16, 8, 4], "b": [12, 8, 8, 2]})
        assert cuts == {"a": (2,), "b": (3,)}

    def test_no_common_resolution_names_both_sides(self) -> None:
        with pytest.raises(AnchorMismatchError, match=r"'vit' and 'cnn'.*\[14\] pixels.*\[28, 7\] pixels"):
            match_cuts({"vit": [14, 14], "cnn": [28, 28, 7]})

    def test_pairs_without_all_in_common_are_listed(self) -> None:
        with pytest.raises(AnchorMismatchError, match="common to all"):
            match_cuts({"a": [8, 4], "b": [4, 2], "c": [8, 2]})


def test_without_cuts_only_whole_anchors_remain() -> None:
    (choice,) = route_choices(("a", "b"), 0, "two-way")
    assert choice.values == ("a", "b")
