from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from searchspaces.errors import NasError, UnknownSpaceError
from searchspaces.hybrid import hybrid_space
from searchspaces.registry import PRESETS, TINY, get_space
from searchspaces.subnet import (
    AttentionSpec,
    BlockSpec,
    ConvNeXtSpec,
    DownsampleSpec,
    HeadSpec,
    MBConvSpec,
    SSMSpec,
    StemSpec,
    StitchSpec,
    SubnetSpec,
)
from tests.searchspaces.spaces import sample, seeds

names = st.sampled_from(sorted(PRESETS))


def test_sizes() -> None:
    assert get_space("hybrid-cifar").size() >= 10**9
    assert get_space("hybrid-tiny").size() >= 10**9
    wider = get_space("hybrid-cifar-r16-32").size() * 3
    assert wider == get_space("hybrid-cifar").size() * 2  # two resolutions instead of three


@given(names, seeds)
def test_widths_chain_up(name: str, seed: int) -> None:
    space = get_space(name)
    width = None
    for layer in space.decode(sample(space, seed)).layers:
        spec = layer.spec
        if isinstance(spec, StitchSpec | DownsampleSpec):
            assert spec.in_width == width
        elif not isinstance(spec, StemSpec):
            assert spec.width == width
        width = spec.width


@given(names, seeds)
def test_a_stitch_stands_exactly_where_the_family_changes(name: str, seed: int) -> None:
    space = get_space(name)
    family, stitch = None, None
    for layer in space.decode(sample(space, seed)).layers:
        spec = layer.spec
        if isinstance(spec, StitchSpec):
            assert stitch is None
            stitch = (spec.source, spec.target)
        elif isinstance(spec, BlockSpec):
            changed = family is not None and family != spec.family
            assert stitch == ((family, spec.family) if changed else None)
            family, stitch = spec.family, None
    assert stitch is None


@given(names, seeds)
def test_every_layer_fits_into_a_slot_of_the_fabric(name: str, seed: int) -> None:
    space = get_space(name)
    slots = space.fabric.slots()
    layers = space.decode(sample(space, seed)).layers
    assert len({layer.slot for layer in layers}) == len(layers)
    for layer in layers:
        bounds = slots[layer.slot]
        assert type(bounds) is type(layer.spec)
        for field in layer.spec.__dataclass_fields__:
            size, bound = getattr(layer.spec, field), getattr(bounds, field)
            assert size == bound if isinstance(bound, str) else 1 <= size <= bound


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_slot_is_reached_at_its_bounds_by_some_arch(name: str) -> None:
    space = get_space(name)
    rng = np.random.default_rng(0)
    seen = {layer.slot for _ in range(300) for layer in space.decode(space.sample(rng)).layers}
    assert seen == set(space.fabric.slots())
    largest = space.values(space.extreme(largest=True))
    decoded = {layer.slot: layer.spec for layer in space.decode(space.extreme(largest=True)).layers}
    assert all(space.fabric.slots()[slot] == spec for slot, spec in decoded.items())
    assert len(decoded) == 2 + 3 + sum(int(largest[f"s{s}.depth"]) for s in range(4))


def test_decoded_sizes_are_the_values_of_the_arch() -> None:
    space = get_space("hybrid-tiny")
    values = {"resolution": 12}
    for s, (width, operator) in enumerate(
        zip((16, 24, 32, 48), ("mbconv", "attention", "ssm", "convnext"), strict=True)
    ):
        values |= {
            f"s{s}.width": width,
            f"s{s}.depth": 1,
            f"s{s}.b0.operator": operator,
            f"s{s}.b0.expansion": 3,
        }
    values |= {
        "s0.b0.kernel": 5,
        "s1.b0.heads": 2,
        "s2.b0.state": 8,
        "s2.b0.directions": 4,
        "s3.b0.kernel": 7,
    }
    spec = space.decode(space.arch_of(values))
    assert spec.resolution == 12
    assert [layer.spec for layer in spec.layers] == [
        StemSpec(16, 1),
        MBConvSpec(16, 5, 3),
        DownsampleSpec(16, 24, 2),
        StitchSpec("conv", "attention", 24, 24),
        AttentionSpec(24, 2, 8, 3),
        DownsampleSpec(24, 32, 2),
        StitchSpec("attention", "ssm", 32, 32),
        SSMSpec(32, 8, 8, 4, 3),
        DownsampleSpec(32, 48, 1),
        StitchSpec("ssm", "conv", 48, 48),
        ConvNeXtSpec(48, 7, 3),
        HeadSpec(48),
    ]
    assert spec.sizes == (12, 12, 12, 6, 6, 6, 3, 3, 3, 3, 3, 3)
    assert len(spec.blocks) == 4


def test_sizes_round_up_where_the_stride_does_not_divide() -> None:
    spec = get_space("hybrid-tiny-r9").decode(get_space("hybrid-tiny-r9").extreme(largest=False))
    assert isinstance(spec, SubnetSpec)
    assert (spec.sizes[0], spec.sizes[-1]) == (9, 3)


def test_widths_must_be_multiples_of_the_head_dimension() -> None:
    with pytest.raises(ValueError, match="x: width 8 is no multiple of head_dim 16"):
        hybrid_space("x", replace(TINY, head_dim=16))


def test_resolution_variants_have_their_own_identity() -> None:
    space = get_space("hybrid-tiny-r16-32")
    assert space is get_space("hybrid-tiny-r16-32")
    assert space.id == "hybrid-tiny-r16-32@1"
    assert space.choices[0].values == (16, 32)
    assert space.extreme(largest=False).key != get_space("hybrid-tiny").extreme(largest=False).key
    assert space.fabric.stem.stride == 2  # large images are halved at once
    assert get_space("hybrid-tiny-r8").fabric.stem.stride == 1


@pytest.mark.parametrize(
    "name",
    [
        "",
        "tiny",
        "hybrid",
        "hybrid-huge",
        "HYBRID-TINY",
        "hybrid-tiny\n",
        " hybrid-tiny",
        "hybrid-tiny@1",
        "../../etc/passwd",
        "hybrid-tiny/../hybrid-cifar",
        "hybrid-tiny\0",
        "hybrid-tiny-r",
        "hybrid-tiny-r08",
        "hybrid-tiny-r8-",
        "hybrid-tiny-r٨",
        "hybrid-tiny-r7",
        "hybrid-tiny-r225",
        "hybrid-tiny-r999999",
        "hybrid-tiny-r12-8",
        "hybrid-tiny-r8-8",
        "hybrid-tiny-r8-9-10-11-12-13-14-15-16",
        "hybrid-tiny-r-8",
        "__class__",
        "x" * 10_000,
    ],
)
def test_hostile_names_are_unknown_spaces(name: str) -> None:
    with pytest.raises(UnknownSpaceError) as caught:
        get_space(name)
    assert isinstance(caught.value, NasError)
    assert isinstance(caught.value, LookupError)
    assert len(str(caught.value)) < 400
