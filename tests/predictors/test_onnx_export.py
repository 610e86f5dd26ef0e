from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.supernet.extract import ExtractedSubnet, extract_subnet, fold
from nas.supernet.supernet import Supernet
from predictors.errors import InvalidValueError, UnsupportedModelError
from predictors.runtimes.onnx_export import OnnxExporter, export_onnx
from predictors.runtimes.onnx_session import OnnxSession
from searchspaces.registry import get_space


class Apply(nn.Module):
    """A function of one tensor as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def attend(x: Tensor) -> Tensor:
    q = x.flatten(2).unsqueeze(1)
    return F.scaled_dot_product_attention(q, q + 1, q.flip(-1), scale=0.3)


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "hardswish": F.hardswish,
    "sigmoid, tanh": lambda x: torch.sigmoid(x) + torch.tanh(x),
    "softplus": lambda x: F.softplus(30 * x),
    "softmax": lambda x: x.softmax(1),
    "exp, neg, sqrt": lambda x: torch.exp(-x) + torch.sqrt(x + 9),
    "numbers on both sides": lambda x: 2 * x / 3 + 1 - (4 - x),
    "average pooling": lambda x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False),
    "average pooling of odd sizes": lambda x: F.avg_pool2d(x, 2, ceil_mode=True),
    "matmul": lambda x: x @ x.transpose(2, 3),
    "matmul with a constant": lambda x: x @ torch.arange(12.0).reshape(6, 2),
    "bmm": lambda x: torch.bmm(x[0], x[1].transpose(1, 2)),
    "attention": attend,
    "reshapes": lambda x: x.reshape(2, -1).view(2, 4, 30).unflatten(2, (5, 6)).unsqueeze(1).squeeze(1),
    "permute": lambda x: x.permute(0, -1, 1, 2).contiguous(),
    "expand": lambda x: x[:, :1].expand(2, 4, 5, 6),
    "flip": lambda x: x.flip(1, -1),
    "slices": lambda x: x[:, 1:3, ::2, -3:-1],
    "slice of everything": lambda x: x[:, :],
    "select": lambda x: x[:, -1] + x.select(1, 2),
    "split": lambda x: torch.cat(x.split([1, 3], 1)[::-1], 1),
    "split of equal parts": lambda x: x.split(2, 1)[1] * x.chunk(2, 1)[0],
    "uneven chunks": lambda x: x.chunk(4, 3)[-1],
    "unbind": lambda x: x.unbind(2)[3],
    "stack": lambda x: torch.stack([x, x + 1, torch.ones(2, 4, 5, 6)], -1),
    "pad": lambda x: F.pad(x, (1, 0, 0, 2)),
    "pad with a value": lambda x: F.pad(x, (0, 3), value=-1.5),
    "pad in its older form": lambda x: torch.constant_pad_nd(x, (2, 0), 0.5),
    "empty pad": lambda x: F.pad(x, (0, 0)),
    "cumsum": lambda x: x.cumsum(-2),
    "means": lambda x: x.mean(1, keepdim=True) + x.mean((2, 3), keepdim=True),
    "mean over the map": lambda x: x.mean((-1, -2)),
    "sums": lambda x: x.sum((0, 2)),
    "masked fill": lambda x: x.masked_fill(torch.ones(5, 6, dtype=torch.bool).tril(), float("-inf")).exp(),
    "where": lambda x: torch.where(torch.eye(5, 6, dtype=torch.bool), x, torch.zeros(5, 6)),
    "tril": lambda x: x.tril(-1),
    "constant arithmetic": lambda x: x * torch.linspace(0, 1, 6).exp().flip(0),
    "dropout in eval mode": lambda x: F.dropout(x, training=False),
}


def check(module: nn.Module, images: Tensor) -> onnx.ModelProto:
    model = export_onnx(module, images)
    onnx.checker.check_model(model, full_check=True)
    with torch.no_grad():
        expected = module(images).numpy()
    found = OnnxSession(model.SerializeToString(), images.numpy()).outputs(images.numpy())
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=2e-5)
    return model


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str) -> None:
    torch.manual_seed(1)
    check(Apply(FUNCTIONS[name]).eval(), torch.randn(2, 4, 5, 6))


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2),
        nn.Conv2d(4, 6, (3, 1), padding=(1, 0), dilation=(2, 1), bias=False),
        nn.BatchNorm2d(4),
        nn.BatchNorm2d(4, affine=False),
        nn.LayerNorm((5, 6)),
        nn.LayerNorm(6, elementwise_affine=False),
        nn.GroupNorm(2, 4),
        nn.GroupNorm(1, 4, affine=False),
        nn.Linear(6, 3),
        nn.Linear(6, 3, bias=False),
        nn.AdaptiveAvgPool2d(1),
    ],
    ids=str,
)
def test_modules(module: nn.Module) -> None:
    torch.manual_seed(2)
    for tensor in module.state_dict().values():  # the defaults of norms would hide mistakes
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5)
    check(module.eval(), torch.randn(2, 4, 5, 6))


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Apply(torch.erf), r"aten\.erf\.default has no translation"),
        (Apply(lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect")), "mode 'reflect'"),
        (Apply(lambda x: F.pad(x, (-1, 0))), "widths"),
        (Apply(lambda x: torch.add(x, x, alpha=2)), "alpha 2"),
        (Apply(lambda x: F.softplus(x, beta=2)), "softplus"),
        (Apply(lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True)), "attention with a mask"),
        (nn.AdaptiveAvgPool2d(2), "only to"),
    ],
)
def test_what_has_no_exact_translation_is_refused(module: nn.Module, message: str) -> None:
    with pytest.raises(UnsupportedModelError, match=message):
        export_onnx(module.eval(), torch.randn(2, 4, 5, 6))


def test_train_mode_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="eval"):
        export_onnx(nn.BatchNorm2d(4), torch.randn(2, 4, 5, 6))


def network(seed: int, space_name: str = "hybrid-tiny") -> ExtractedSubnet:
    space = get_space(space_name)
    torch.manual_seed(seed)
    supernet = Supernet(space, n_classes=7, in_channels=2, mean=[0.3, 0.4], std=[0.2, 0.5]).eval()
    for name, tensor in supernet.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
    return extract_subnet(supernet, space.decode(space.sample(np.random.default_rng(seed))))


@pytest.mark.parametrize("seed", range(2))
def test_subnets_of_the_hybrid_space_before_and_after_folding(seed: int) -> None:
    plain = network(seed)
    images = torch.rand(2, 2, plain.resolution, plain.resolution)
    check(plain, images)
    model = check(fold(plain), images)
    assert not any(node.op_type == "BatchNormalization" for node in model.graph.node)


def test_large_images_with_several_chunks() -> None:
    net = fold(network(5, "hybrid-cifar"))
    check(net, torch.rand(1, 2, net.resolution, net.resolution))


def test_a_known_layer_is_not_recorded_again_and_has_its_own_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter = OnnxExporter()
    first, second = network(0), network(0)
    with torch.no_grad():
        for parameter in second.parameters():
            parameter.mul_(1.1)
    images = torch.rand(1, 2, first.resolution, first.resolution)
    exporter.export(first, images)
    monkeypatch.setattr("predictors.runtimes.onnx_export.record", None)
    model = exporter.export(second, images).SerializeToString()
    with torch.no_grad():
        expected = second(images).numpy()
    np.testing.assert_allclose(
        OnnxSession(model, images.numpy()).outputs(images.numpy()), expected, atol=2e-5
    )


def test_names_and_static_shapes_of_the_ends() -> None:
    model = export_onnx(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).eval(), torch.rand(2, 3, 2, 2))
    ends = [*model.graph.input, *model.graph.output]
    assert [end.name for end in ends] == ["images", "logits"]
    assert [[d.dim_value for d in end.type.tensor_type.shape.dim] for end in ends] == [[2, 3, 2, 2], [2, 3]]
