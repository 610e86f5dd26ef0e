"""The closed form against the extracted network: counted parameters, counted products, live buffers."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from nas.blocks.ssm import chunk_length
from nas.supernet.extract import extract_subnet
from nas.supernet.supernet import Supernet
from searchspaces.cost import Cost, cost, layer_costs, ssd_chunk_length
from searchspaces.registry import get_space
from searchspaces.subnet import CELL_EDGES, CellSpec, SubnetSpec

VIEWS = {
    "view", "_unsafe_view", "permute", "transpose", "t", "unsqueeze", "squeeze", "expand", "slice",
    "select", "split", "split_with_sizes", "getitem", "detach", "alias",
}  # fmt: skip
PRODUCTS = {"convolution", "mm", "addmm", "bmm", "baddbmm"}


class Outputs(TorchDispatchMode):
    """Sums the elements that convolutions and matrix products put out."""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ in PRODUCTS:
            self.total += result.numel()
        return result


def live_elements(module: nn.Module, x: torch.Tensor) -> int:
    """Elements alive at the worst moment of the traced module, if all are freed after their last use."""
    nodes = list(make_fx(module)(x).graph.nodes)
    owner: dict[Any, Any] = {}
    size: dict[Any, int] = {}
    last: dict[Any, int] = {}
    for i, node in enumerate(nodes):
        name = node.target if isinstance(node.target, str) else node.target.__name__.partition(".")[0]
        inputs = [n for n in node.all_input_nodes if n.op != "get_attr"]
        is_view = name in VIEWS
        owner[node] = owner[inputs[0]] if is_view and inputs else node  # no inputs: a view of a weight
        value = node.meta.get("val")
        value = value[0] if isinstance(value, tuple) else value
        is_buffer = not is_view and node.op not in ("get_attr", "output") and isinstance(value, torch.Tensor)
        size[node] = value.numel() if is_buffer else 0
        last.update({owner[n]: i for n in inputs})
    freed = [0] * len(nodes)
    for node, i in last.items():
        freed[i] += size[node]
    alive = peak = 0
    for i, node in enumerate(nodes):
        alive += size[node]
        peak = max(peak, alive)
        alive -= freed[i]
    return peak


def networks(space_name: str, n: int) -> list[tuple[SubnetSpec, nn.Module]]:
    space = get_space(space_name)
    torch.manual_seed(0)
    supernet = Supernet(space, n_classes=7, in_channels=2).eval()
    rng = np.random.default_rng(0)
    archs = [space.extreme(largest=True), *(space.sample(rng) for _ in range(n))]
    return [(spec, extract_subnet(supernet, spec)) for spec in map(space.decode, archs)]


@pytest.fixture(
    scope="module",
    params=["hybrid-tiny", "hybrid-cifar", "hybrid-tiny-r9-20", "nats-size-r16", "nasbench201-c8-n1-r12"],
)
def sampled(request: pytest.FixtureRequest) -> list[tuple[SubnetSpec, nn.Module]]:
    return networks(request.param, 6)


def closed_form(spec: SubnetSpec) -> Cost:
    return cost(spec, in_channels=2, n_classes=7)


@torch.no_grad()
def test_params_macs_and_activations_are_exact(sampled: list[tuple[SubnetSpec, nn.Module]]) -> None:
    for spec, network in sampled:
        images = torch.rand(1, 2, spec.resolution, spec.resolution)
        with sdpa_kernel(SDPBackend.MATH), Outputs() as outputs:
            network(images)
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as flops:
            network(images)
        expected = closed_form(spec)
        assert expected.params == sum(p.numel() for p in network.parameters())
        assert 2 * expected.macs == flops.get_total_flops()
        assert expected.activations == outputs.total


def attention_macs(inputs: list[Any], outputs: list[Any]) -> int:
    """fvcore's count of scaled_dot_product_attention, which it does not know: query (B, h, T, d)."""
    b, h, t, d = inputs[0].type().sizes()
    return int(2 * b * h * t * t * d)


def matmul_macs(inputs: list[Any], outputs: list[Any]) -> int:
    """fvcore's own count leaves out dimensions over which only the left operand is broadcast."""
    return int(np.prod(outputs[0].type().sizes()) * inputs[0].type().sizes()[-1])


def has_dead_ends(spec: SubnetSpec) -> bool:
    """Whether a cell computes a node that nothing uses."""
    cells = [block for block in spec.blocks if isinstance(block, CellSpec)]
    edges = [dict(zip(CELL_EDGES, cell.edges, strict=True)) for cell in cells]
    return any(
        any(e[edge] for edge in CELL_EDGES if edge[1] == node)
        and not any(e[edge] for edge in CELL_EDGES if edge[0] == node)
        for e in edges
        for node in (1, 2)
    )


@torch.no_grad()
def test_macs_agree_with_fvcore(sampled: list[tuple[SubnetSpec, nn.Module]]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fvcore traces with torch.jit, which torch deprecates
        from fvcore.nn import FlopCountAnalysis

        for spec, network in sampled:
            if has_dead_ends(spec):
                continue  # fvcore drops what does not reach the output
            images = torch.rand(1, 2, spec.resolution, spec.resolution)
            analysis = FlopCountAnalysis(network, images).unsupported_ops_warnings(False)
            analysis.set_op_handle("aten::scaled_dot_product_attention", attention_macs)
            analysis.set_op_handle("aten::matmul", matmul_macs)
            counted = analysis.by_operator()
            products = {name: n for name, n in counted.items() if not name.endswith("_norm")}
            assert closed_form(spec).macs == sum(products.values()), counted


@torch.no_grad()
def test_peak_memory_follows_the_live_buffers(sampled: list[tuple[SubnetSpec, nn.Module]]) -> None:
    for spec, network in sampled[:3]:
        peaks = []
        x = torch.rand(1, 2, spec.resolution, spec.resolution)
        for layer, module in zip(
            layer_costs(spec, in_channels=2, n_classes=7), network.body.children(), strict=True
        ):
            with sdpa_kernel(SDPBackend.MATH):
                peaks.append(4 * live_elements(module, x))
            x = module(x)
            assert 0.95 <= (layer.peak_memory_bytes - 4 * layer.params) / peaks[-1] <= 1.25, layer
        weights = 4 * sum(p.numel() for p in network.parameters())
        assert closed_form(spec).peak_memory_bytes == pytest.approx(weights + max(peaks), rel=0.1)


def test_a_total_is_made_of_its_layers(sampled: list[tuple[SubnetSpec, nn.Module]]) -> None:
    for spec, _ in sampled:
        total, layers = closed_form(spec), layer_costs(spec, in_channels=2, n_classes=7)
        assert len(layers) == len(spec.layers)
        assert total.params == sum(layer.params for layer in layers)
        assert total.macs == sum(layer.macs for layer in layers)
        assert total.peak_memory_bytes >= max(layer.peak_memory_bytes for layer in layers)


def test_chunks_are_those_of_the_block() -> None:
    for tokens in range(1, 2000):
        assert ssd_chunk_length(tokens) == chunk_length(tokens)
