from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import subprocess
import sys

import pytest

from predictors.errors import UnknownRuntimeError
from predictors.runtimes.registry import get_runtime
from predictors.runtimes.requirements import REQUIREMENTS, missing


@pytest.mark.parametrize(
    ("name", "package", "line"),
    [
        ("executorch", "executorch", 'pip install "stitchnas[executorch]"'),
        ("openvino", "openvino", 'pip install "stitchnas[openvino]"'),
        ("openvino-int8", "openvino", 'pip install "stitchnas[openvino]"'),
        ("onnxruntime-int8", "onnxruntime", "pip install torch onnx onnxruntime"),
    ],
)
def test_a_missing_package_is_named_with_its_install_line(
    name: str, package: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    if importlib.util.find_spec("executorch") is None and name == "executorch":
        monkeypatch.delitem(sys.modules, package)
    message = f"runtime '{name}' needs the package '{package}': {line}"
    assert missing(name) == message
    with pytest.raises(UnknownRuntimeError) as caught:
        get_runtime(name)
    assert str(caught.value) == message


def test_without_a_compiler_inductor_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(UnknownRuntimeError, match=r"no g\+\+ or clang\+\+ on PATH: apt install g\+\+"):
        get_runtime("inductor")
    monkeypatch.setenv("CXX", "nowhere-c++")
    assert "no nowhere-c++ on PATH" in (missing("inductor") or "")
    monkeypatch.setenv("CXX", sys.executable)
    assert missing("inductor") is None


@pytest.mark.parametrize("name", ["cuda", "cuda-graph"])
def test_without_cuda_the_error_says_what_is_missing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_driver(path: str) -> None:
        raise OSError(path)

    monkeypatch.setattr(importlib.metadata, "version", lambda package: "2.13.0+cpu")
    with pytest.raises(
        UnknownRuntimeError, match=f"'{name}' needs CUDA, and torch 2.13.0.cpu was built without"
    ):
        get_runtime(name)
    monkeypatch.setattr(importlib.metadata, "version", lambda package: "2.13.0")
    monkeypatch.setattr(ctypes, "CDLL", no_driver)
    with pytest.raises(UnknownRuntimeError, match=f"'{name}' needs an NVIDIA GPU and its driver"):
        get_runtime(name)


def test_asking_imports_no_runtime() -> None:
    code = (
        "import sys; from predictors.runtimes.requirements import REQUIREMENTS, missing; "
        "[missing(name) for name in REQUIREMENTS]; "
        "assert not {'torch', 'onnxruntime', 'openvino', 'executorch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nothing_is_missing_where_everything_is_installed() -> None:
    assert missing("eager") is None
    assert missing("onnxruntime") is None
    assert set(REQUIREMENTS) >= {"eager", "onnxruntime"}
