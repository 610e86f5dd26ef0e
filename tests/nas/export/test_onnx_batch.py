"""ONNX graphs of any batch size, and what happens where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from nas.blocks.plain import plain_call
from nas.errors import ExportError
from nas.export.formats import FORMATS
from nas.export.onnx_batch import export_any_batch
from nas.export.parity import compare
from nas.supernet.extract import ExtractedSubnet


class DividesByBatch(nn.Module):
    """What it computes depends on the batch size, as no network should."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) / x.shape[0]


class Regroups(nn.Module):
    """Reshapes whose first number is a multiple of the batch size."""

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(0, 2) * 2
        return rows.unflatten(0, (-1, x.shape[1] * x.shape[2])).flatten(1)


def test_a_multiple_of_the_batch_is_followed() -> None:
    model = export_any_batch(Regroups().eval(), torch.zeros(1, 2, 3, 4))
    for value in (*model.graph.input, *model.graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch"
        assert not value.type.tensor_type.shape.dim[0].dim_value


def test_any_other_dependence_is_an_error() -> None:
    with pytest.raises(ExportError, match="depends on the batch size"):
        export_any_batch(DividesByBatch().eval(), torch.zeros(1, 2, 3, 4))


@pytest.mark.parametrize(("cls", "batch"), [(Regroups, None), (DividesByBatch, 1)])
def test_the_format_states_its_batch_and_is_exact_for_it(
    cls: type[nn.Module], batch: int | None, tmp_path: Path
) -> None:
    network = ExtractedSubnet(4, [("00_layer", plain_call(cls))]).eval()
    images = torch.rand(5, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    written = FORMATS["onnx"].write(network, images[:1], tmp_path)
    assert written.batch == batch
    assert written.details["opset"] == "20"
    assert ("batch" in written.details) is (batch is not None)
    expected = torch.cat([network(image.unsqueeze(0)) for image in images])
    found = compare("onnx", lambda: FORMATS["onnx"].open(tmp_path), images, expected, batch)
    assert found.passed, found.error


class Fancy(nn.Module):
    """An operator that has no translation to ONNX."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.special.i0(x.flatten(1))


def test_an_operator_without_translation_is_named(tmp_path: Path) -> None:
    network = ExtractedSubnet(4, [("00_layer", plain_call(Fancy))]).eval()
    with pytest.raises(ExportError, match="i0"):
        FORMATS["onnx"].write(network, torch.zeros(1, 1, 4, 4), tmp_path)
    assert list(tmp_path.iterdir()) == []
