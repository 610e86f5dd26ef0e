from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from predictors.errors import UnknownRuntimeError
from predictors.runtimes.eager import EagerRuntime
from predictors.runtimes.onnx_runtime import OnnxRuntime
from predictors.runtimes.registry import RUNTIMES, get_runtime
from predictors.runtimes.requirements import REQUIREMENTS
from predictors.runtimes.runtime import Runtime
from tests.contracts.runtime import RuntimeContract


class TestEager(RuntimeContract):
    @pytest.fixture
    def runtime(self) -> Runtime:
        return EagerRuntime()


class TestOnnxRuntime(RuntimeContract):
    @pytest.fixture
    def runtime(self) -> Runtime:
        return OnnxRuntime()


class TestOpenVino(RuntimeContract):
    @pytest.fixture
    def runtime(self) -> Runtime:
        pytest.importorskip("openvino", reason="openvino is not installed")
        return get_runtime("openvino")

    def test_single_precision_is_set_and_recorded(self, runtime: Runtime) -> None:
        assert runtime.device().precision == "fp32"
        module = nn.Sequential(nn.Flatten(), nn.Linear(48, 4)).eval()
        images = np.full((1, 3, 4, 4), 1 + 2**-12, dtype=np.float32)  # bf16 would round it to 1
        session = runtime.load(module, torch.zeros(1, 3, 4, 4))
        with torch.no_grad():
            expected = module(torch.from_numpy(images)).numpy()
        np.testing.assert_allclose(session.outputs(images), expected, rtol=1e-5, atol=1e-6)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownRuntimeError, match="no runtime 'tpu'; there are eager, onnxruntime, openvino"):
        get_runtime("tpu")


def test_a_missing_package_is_named_with_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delitem(sys.modules, "predictors.runtimes.onnx_runtime")
    with pytest.raises(UnknownRuntimeError, match="needs the package 'onnxruntime': pip install"):
        get_runtime("onnxruntime")


def test_every_runtime_of_the_registry_has_a_contract_suite() -> None:
    assert set(RUNTIMES) == set(REQUIREMENTS)


def test_plain_parts_load_without_torch_or_ray() -> None:
    modules = (
        "predictors.profiler, predictors.latency, predictors.quality, predictors.runtimes.registry, "
        "predictors.runtimes.onnx_session"
    )
    code = f"import sys, {modules}; assert not {{'torch', 'ray'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
