"""The two recorded spaces: skeletons as published, paths, resolutions, tables."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from nas.supernet.extract import extract_subnet, fold, recalibrate
from nas.supernet.supernet import Supernet
from searchspaces.cells import OPERATORS, has_path
from searchspaces.cost import cost
from searchspaces.errors import UnknownSpaceError
from searchspaces.registry import get_space
from searchspaces.space import SearchSpace
from searchspaces.subnet import CELL_EDGES, CellHeadSpec, CellSpec, CellStemSpec, ResidualSpec
from tests.searchspaces.spaces import sample, seeds

NAMES = ("nats-size-r8", "nats-size-d8-r8", "nasbench201-c4-n1-r8", "nasbench201-c8-n2-r12")
names = st.sampled_from((*NAMES, "nats-size", "nasbench201"))
CONV, SKIP, NONE, POOL = "nor_conv_3x3", "skip_connect", "none", "avg_pool_3x3"


def supernet_of(space: SearchSpace) -> Supernet:
    torch.manual_seed(0)
    supernet = Supernet(space, n_classes=5, in_channels=3, mean=[0.4, 0.5, 0.6], std=[0.2, 0.25, 0.3])
    with torch.no_grad():
        for name, tensor in [*supernet.named_parameters(), *supernet.named_buffers()]:
            if tensor.is_floating_point() and not name.endswith(("mean", "std")):
                tensor.add_(0.05 * torch.rand_like(tensor))
    return supernet.eval()


@given(names, seeds)
def test_widths_chain_up_and_every_layer_fits_its_slot(name: str, seed: int) -> None:
    space = get_space(name)
    slots = space.fabric.slots()
    spec = space.decode(sample(space, seed))
    width = None
    for layer in spec.layers:
        bounds = slots[layer.slot]
        assert type(bounds) is type(layer.spec)
        assert layer.spec.width <= bounds.width
        if isinstance(layer.spec, CellSpec | ResidualSpec):
            assert layer.spec.in_width == width
            assert layer.spec.in_width <= bounds.in_width
        if isinstance(layer.spec, CellSpec):
            assert all(
                set(mine) <= set(every) for mine, every in zip(layer.spec.edges, bounds.edges, strict=True)
            )
        width = layer.spec.width
    assert spec.sizes[-1] == spec.resolution // 4


def test_size_skeleton_is_the_published_one() -> None:
    space = get_space("nats-size")
    spec = space.decode(space.arch([0, 1, 1, 3, 4]))
    conv, plain, project = (CONV,), (SKIP,), ("project",)
    assert [layer.spec for layer in spec.layers] == [
        CellStemSpec(8),
        CellSpec(8, 8, (conv, conv, conv, plain, conv, conv)),
        ResidualSpec(8, 16),
        CellSpec(16, 16, (conv, conv, conv, plain, conv, conv)),
        ResidualSpec(16, 32),
        CellSpec(32, 40, (conv, conv, conv, project, conv, conv)),
        CellHeadSpec(40),
    ]
    assert spec.sizes == (32, 32, 32, 16, 16, 8, 8)
    assert space.size() == 8**5


def test_a_divisor_keeps_the_choices_and_narrows_the_networks() -> None:
    full, narrow = get_space("nats-size-r8"), get_space("nats-size-d4-r8")
    assert narrow.choices == full.choices
    arch = narrow.arch([0, 1, 1, 3, 4])
    assert [layer.spec.width for layer in narrow.decode(arch).layers] == [2, 2, 4, 4, 8, 10, 10]
    assert isinstance(narrow.fabric.head, CellHeadSpec)
    assert narrow.fabric.head.width == 16


def test_topology_skeleton_is_the_published_one() -> None:
    space = get_space("nasbench201")
    layers = space.decode(space.arch([3, 3, 0, 1, 4, 2])).layers
    assert len(layers) == 1 + 5 + 1 + 5 + 1 + 5 + 1
    assert layers[0].spec == CellStemSpec(16)
    assert layers[6].spec == ResidualSpec(16, 32)
    edges = ((CONV,), (CONV,), (), (SKIP,), (POOL,), ("nor_conv_1x1",))
    assert {layer.spec for layer in layers[1:6]} == {CellSpec(16, 16, edges)}
    assert layers[-1].spec == CellHeadSpec(64)
    assert space.size() == 5**6


@pytest.mark.parametrize(
    ("operators", "params"),
    [  # published "params" of NAS-Bench-201, in millions; the last has convolutions on all edges
        ((SKIP,) * 6, 0.073306),
        ((CONV,) * 6, 1.531546),
        ((POOL, SKIP, "nor_conv_1x1", SKIP, "nor_conv_1x1", SKIP), 0.129306),
    ],
)
def test_parameters_are_the_published_ones(operators: tuple[str, ...], params: float) -> None:
    space = get_space("nasbench201")
    spec = space.decode(space.arch([OPERATORS.index(name) for name in operators]))
    assert cost(spec, in_channels=3, n_classes=10).params / 1e6 == params


@pytest.mark.parametrize("name", NAMES)
def test_extracted_recalibrated_and_folded_agree_with_the_supernet(name: str) -> None:
    space = get_space(name)
    supernet = supernet_of(space)
    rng = np.random.default_rng(1)
    images = torch.rand(4, 3, *[space.decode(sample(space, 0)).resolution] * 2)
    for arch in [space.extreme(largest=True), *(space.sample(rng) for _ in range(8))]:
        spec = space.decode(arch)
        calibrated = recalibrate(supernet, spec, [torch.rand(16, 3, spec.resolution, spec.resolution)])
        network = extract_subnet(calibrated, spec)
        with torch.no_grad():
            expected = calibrated(images, spec)
            torch.testing.assert_close(network(images), expected, rtol=0, atol=1e-5)
            folded = fold(network)
            torch.testing.assert_close(folded(images), expected, rtol=1e-4, atol=1e-4)
        norms = [module for module in folded.modules() if isinstance(module, nn.BatchNorm2d)]
        assert len(norms) == 1  # of the head, which follows no convolution


def test_without_a_path_the_logits_do_not_depend_on_the_image() -> None:
    space = get_space("nasbench201-c4-n1-r8")
    supernet = supernet_of(space)
    for genes in ([0] * 6, [3, 3, 0, 0, 0, 0], [0, 0, 3, 0, 0, 0], [3, 0, 1, 0, 0, 0]):
        spec = space.decode(space.arch(genes))
        with torch.no_grad():
            logits = supernet(torch.rand(3, 3, 8, 8), spec)
        torch.testing.assert_close(logits, logits[:1].expand(3, -1))


@given(seeds)
def test_a_path_exists_exactly_when_the_output_depends_on_the_input(seed: int) -> None:
    rng = np.random.default_rng(seed)
    operators = rng.choice([NONE, SKIP, CONV], len(CELL_EDGES)).tolist()
    ways = {0: 1, 1: 0, 2: 0, 3: 0}
    for (source, target), operator in zip(CELL_EDGES, operators, strict=True):
        ways[target] += ways[source] * (operator != NONE)
    assert has_path(operators) == (ways[3] > 0)


def test_a_cell_refuses_what_it_cannot_compute() -> None:
    good = ((CONV,),) * 6
    with pytest.raises(ValueError, match="6 tuples; got 5"):
        CellSpec(8, 8, good[:5])
    with pytest.raises(ValueError, match="edge 0-1: no operator 'conv'"):
        CellSpec(8, 8, (("conv",), *good[1:]))
    with pytest.raises(ValueError, match="edge 0-3: 'skip_connect' cannot map 8 to 16 channels"):
        CellSpec(8, 16, (*good[:3], (SKIP,), *good[4:]))


def test_spaces_travel_between_processes() -> None:
    for name in NAMES:
        space = get_space(name)
        copy = pickle.loads(pickle.dumps(space))
        arch = sample(space, 3)
        assert copy.decode(arch) == space.decode(arch)


@pytest.mark.parametrize(
    "name",
    ["nats-size-r7", "nats-size-r10", "nats-size-r4", "nats-size-r16-32", "nats-size-n1", "nats-size-d3",
     "nasbench201-c7",
     "nasbench201-n0", "nasbench201-r999", "nasbench201-n1-c8", "nats", "nats-size-r016", "nasbench201-r٨"],
)  # fmt: skip
def test_other_names_are_unknown_spaces(name: str) -> None:
    with pytest.raises(UnknownSpaceError):
        get_space(name)
