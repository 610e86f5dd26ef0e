from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import nn

from predictors.errors import InvalidValueError, UnsupportedModelError
from predictors.runtimes.agreement import relative_error
from predictors.runtimes.int8 import quantised
from predictors.runtimes.int8.onnx_int8 import OnnxInt8Runtime
from predictors.runtimes.int8.quantise import batches_of, quantise, random_batches
from predictors.runtimes.onnx_export import export_onnx
from predictors.runtimes.onnx_runtime import OnnxRuntime
from predictors.runtimes.registry import get_runtime
from predictors.runtimes.runtime import Runtime
from tests.contracts.runtime import RuntimeContract, small_net

EXAMPLE = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Int8Contract(RuntimeContract):
    def test_it_is_a_device_of_its_own(self, runtime: Runtime) -> None:
        single = get_runtime(runtime.name.removesuffix("-int8")).device("here")
        device = runtime.device("here")
        assert device.precision == "int8"
        assert device.fingerprint != single.fingerprint

    def test_it_really_rounds(self, runtime: Runtime) -> None:
        found = runtime.load(small_net(), EXAMPLE).outputs(EXAMPLE.numpy())
        with torch.no_grad():
            assert relative_error(found, small_net()(EXAMPLE).numpy()) > OnnxRuntime.tolerance

    def test_a_network_with_nothing_to_quantise_is_refused(self, runtime: Runtime) -> None:
        module = nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
        with pytest.raises(UnsupportedModelError, match="nothing to quantise"):
            runtime.load(module, EXAMPLE)

    def test_a_network_that_int8_cannot_hold_is_refused(
        self, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(quantised, "TOLERANCE", 1e-6)
        with pytest.raises(UnsupportedModelError, match=r"differ from PyTorch eager by .* at most 1e-06"):
            runtime.load(small_net(), EXAMPLE)


class TestOnnxInt8(Int8Contract):
    @pytest.fixture
    def runtime(self) -> Runtime:
        return OnnxInt8Runtime()


class TestOpenVinoInt8(Int8Contract):
    @pytest.fixture
    def runtime(self) -> Runtime:
        pytest.importorskip("openvino", reason="openvino is not installed")
        return get_runtime("openvino-int8")


def test_weights_have_a_scale_per_channel_and_heavy_operators_run_in_int8(tmp_path: Path) -> None:
    model = quantise(export_onnx(small_net(), EXAMPLE), random_batches(EXAMPLE.numpy()))
    scales = {
        tensor.name: list(tensor.dims)
        for tensor in onnx.load_from_string(model).graph.initializer
        if tensor.name.endswith("_scale")
    }
    assert [8] in scales.values()
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "fused.onnx")
    options.log_severity_level = 3
    ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    fused = Counter(node.op_type for node in onnx.load(tmp_path / "fused.onnx").graph.node)
    assert fused["QLinearConv"] == 1
    assert fused["Conv"] == 0


def test_equal_images_give_an_equal_model() -> None:
    first, second = (
        quantise(export_onnx(small_net(), EXAMPLE), random_batches(EXAMPLE.numpy())) for _ in range(2)
    )
    assert first == second


def test_given_images_set_the_ranges() -> None:
    """Calibrated on dark images, bright ones are clipped."""
    module, bright = small_net(), np.full((1, 3, 8, 8), 1.0, dtype=np.float32)
    dark = np.random.default_rng(0).uniform(0, 0.02, (4, 3, 8, 8)).astype(np.float32)
    with torch.no_grad():
        expected = module(torch.from_numpy(bright)).numpy()
    errors = [
        relative_error(OnnxInt8Runtime(images).load(module, EXAMPLE).outputs(bright), expected)
        for images in (dark, np.concatenate([bright, dark]))
    ]
    assert errors[0] > 2 * errors[1]


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((1, 3, 8, 8), dtype=np.float32),
        np.zeros((4, 3, 9, 9), dtype=np.float32),
        np.zeros((4, 3, 8, 8)),
    ],
    ids=["too few", "another size", "float64"],
)
def test_calibration_images_that_do_not_fit_are_refused(images: np.ndarray) -> None:
    with pytest.raises(
        InvalidValueError, match=r"calibration images must be at least 2 of shape \(3, 8, 8\)"
    ):
        batches_of(images, (2, 3, 8, 8))
