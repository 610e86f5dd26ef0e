"""What each runtime needs on this machine, checked without importing any of it (and so without torch)."""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass

COMPILERS = ("g++", "clang++")  # inductor takes what the variable CXX names before these
TORCH_WITH_CUDA = "install a CUDA build of torch (https://pytorch.org/get-started/locally)"


def _nothing() -> str | None:
    return None


def _compiler() -> str | None:
    """AOTInductor writes C++, so nothing runs without a compiler."""
    named = os.environ.get("CXX")
    tried = (named,) if named else COMPILERS
    if any(shutil.which(name) for name in tried):
        return None
    return f"a C++ compiler, and there is no {' or '.join(tried)} on PATH: apt install g++, or set CXX"


def _gpu() -> str | None:
    """The driver's library is there wherever a GPU can be used, in containers too."""
    version = importlib.metadata.version("torch")
    if version.endswith("+cpu"):
        return f"CUDA, and torch {version} was built without: {TORCH_WITH_CUDA}"
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "an NVIDIA GPU and its driver, and libcuda.so.1 is not on this machine"
    return None


@dataclass(frozen=True, slots=True)
class Requirement:
    """Packages by import name, what pip installs them by, and a check that names what else is missing."""

    packages: tuple[str, ...]
    install: str
    beyond: Callable[[], str | None] = _nothing

    def lacking(self) -> str | None:
        """What is missing and how to get it, as the end of a sentence "needs …"; None: nothing is."""
        for package in self.packages:
            if importlib.util.find_spec(package) is None:
                return self.package(package)
        return self.beyond()

    def package(self, package: str) -> str:
        """The end of the same sentence for a package that is missing."""
        return f"the package {package!r}: pip install {self.install}"


_ONNX = ("torch", "onnx", "onnxruntime")
REQUIREMENTS: Mapping[str, Requirement] = {
    "onnxruntime": Requirement(_ONNX, "torch onnx onnxruntime"),
    "eager": Requirement(("torch",), "torch"),
    "openvino": Requirement(("torch", "onnx", "openvino"), '"stitchnas[openvino]"'),
    "inductor": Requirement(("torch",), "torch", _compiler),
    "executorch": Requirement(("torch", "executorch"), '"stitchnas[executorch]"'),
    "onnxruntime-int8": Requirement(_ONNX, "torch onnx onnxruntime"),
    "openvino-int8": Requirement((*_ONNX, "openvino"), '"stitchnas[openvino]"'),
    "cuda": Requirement(("torch",), "torch", _gpu),
    "cuda-graph": Requirement(("torch",), "torch", _gpu),
}


def missing(name: str) -> str | None:
    """Why the runtime of this name, one of REQUIREMENTS, cannot run on this machine; None if it can.

    One sentence that ends with how to change that.
    """
    lacking = REQUIREMENTS[name].lacking()
    return None if lacking is None else f"runtime {name!r} needs {lacking}"
