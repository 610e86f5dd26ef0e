"""Layers recorded once and merged give the very file that a trace of the whole network gives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.blocks.plain import PlainCall, plain_call
from nas.supernet.extract import ExtractedSubnet, extract_subnet, fold
from nas.supernet.supernet import Supernet
from predictors.errors import UnsupportedModelError
from predictors.runtimes.onnx_export import OnnxExporter, export_onnx
from predictors.runtimes.onnx_session import OnnxSession
from searchspaces.registry import get_space
from tests.predictors.test_onnx_export import FUNCTIONS, Apply

SPACES = (
    "hybrid-tiny",
    "hybrid-cifar",
    "nats-size-d8-r16",
    "nasbench201-c4-n1-r16",
    "stitched-tiny",
    "stitched2-pooltiny",
    "hybrid-tiny-m2",
)


def subnets(space_name: str, n: int) -> list[ExtractedSubnet]:
    """Random folded subnets of a supernet with random statistics."""
    space = get_space(space_name)
    torch.manual_seed(3)
    supernet = Supernet(space, n_classes=5, in_channels=3, mean=[0.3] * 3, std=[0.5] * 3).eval()
    for name, tensor in supernet.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
    rng = np.random.default_rng(4)
    archs = [space.sample(rng) for _ in range(n)]
    return [fold(extract_subnet(supernet, space.decode(arch))) for arch in archs]


def alone(call: PlainCall) -> ExtractedSubnet:
    """A chain of one layer."""
    return ExtractedSubnet(6, [("00_layer", call)]).eval()


@pytest.mark.parametrize("space", SPACES)
def test_merged_layers_equal_the_network_exported_whole(space: str) -> None:
    exporter = OnnxExporter()
    other, network = subnets(space, 2)
    exporter.export(other, torch.rand(2, 3, other.resolution, other.resolution))  # some layers are known
    images = torch.rand(2, 3, network.resolution, network.resolution)
    merged = exporter.export(network, images)
    onnx.checker.check_model(merged, full_check=True)
    assert merged.SerializeToString() == export_onnx(network, images).SerializeToString()
    with torch.no_grad():
        expected = network(images).numpy()
    found = OnnxSession(merged.SerializeToString(), images.numpy()).outputs(images.numpy())
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_names_in_a_merged_graph_are_unique_and_its_shapes_follow() -> None:
    exporter = OnnxExporter()
    for network in subnets("hybrid-tiny", 3):
        model = exporter.export(network, torch.rand(1, 3, network.resolution, network.resolution))
        values = [name for node in model.graph.node for name in node.output]
        values += [tensor.name for tensor in model.graph.initializer] + ["images"]
        assert len(set(values)) == len(values)
        assert len({node.name for node in model.graph.node if node.name}) == len(model.graph.node) - 1
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        (logits,) = inferred.graph.output
        assert [dim.dim_value for dim in logits.type.tensor_type.shape.dim] == [1, 5]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_operators_are_recorded_as_they_are_traced(name: str) -> None:
    images = torch.rand(2, 4, 5, 6)
    merged = OnnxExporter().export(alone(plain_call(Named, name=name)), images)
    assert (
        merged.SerializeToString() == export_onnx(Apply(FUNCTIONS[name]).eval(), images).SerializeToString()
    )


class Named(nn.Module):
    """One of the functions, by a name that a chain can state."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.function = {**FUNCTIONS, **REFUSED}[name]

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


REFUSED: dict[str, Callable[[Tensor], Tensor]] = {
    "gives no tensor": lambda x: x * x.sum().item(),
    "changes its argument": lambda x: F.relu_(x + 1),
    "has no translation": torch.erf,
    "one output": lambda x: x.split(1, 1),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_a_recording_cannot_hold_is_refused(message: str) -> None:
    with pytest.raises(UnsupportedModelError, match=message):
        OnnxExporter().export(alone(plain_call(Named, name=message)), torch.rand(1, 2, 3, 4))


class Constants(nn.Module):
    """Uses a tensor that is neither parameter nor buffer, and a buffer that is not stored."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factors = [torch.tensor([factor, 2 * factor, 3 * factor, 4 * factor])]
        self.register_buffer("shift", torch.arange(4.0), persistent=False)
        self.shift: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factors[0] + self.shift


def test_constants_that_are_no_weights() -> None:
    exporter = OnnxExporter()
    images = torch.rand(1, 2, 3, 4)
    for factor in (0.5, 0.25):
        network = alone(plain_call(Constants, factor=factor))
        model = exporter.export(network, images).SerializeToString()
        found = OnnxSession(model, images.numpy()).outputs(images.numpy())
        np.testing.assert_allclose(found, network(images).numpy(), rtol=1e-6)


def test_recording_leaves_the_network_as_it_was() -> None:
    (network,) = subnets("hybrid-tiny", 1)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    images = torch.rand(1, 3, network.resolution, network.resolution)
    OnnxExporter().export(network, images)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    network.train()(images).sum().backward()  # no inference tensor has found its way into it
