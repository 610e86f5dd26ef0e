"""Runtimes by name, imported only when asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from predictors.errors import UnknownRuntimeError
from predictors.runtimes.requirements import REQUIREMENTS, missing
from predictors.runtimes.runtime import Runtime


def _eager() -> Runtime:
    from predictors.runtimes.eager import EagerRuntime

    return EagerRuntime()


def _onnxruntime() -> Runtime:
    from predictors.runtimes.onnx_runtime import OnnxRuntime

    return OnnxRuntime()


def _openvino() -> Runtime:
    from predictors.runtimes.openvino_runtime import OpenVinoRuntime

    return OpenVinoRuntime()


def _inductor() -> Runtime:
    from predictors.runtimes.ahead.inductor import InductorRuntime

    return InductorRuntime()


def _executorch() -> Runtime:
    from predictors.runtimes.ahead.executorch_runtime import ExecuTorchRuntime

    return ExecuTorchRuntime()


def _onnxruntime_int8() -> Runtime:
    from predictors.runtimes.int8.onnx_int8 import OnnxInt8Runtime

    return OnnxInt8Runtime()


def _openvino_int8() -> Runtime:
    from predictors.runtimes.int8.openvino_int8 import OpenVinoInt8Runtime

    return OpenVinoInt8Runtime()


def _cuda() -> Runtime:
    from predictors.runtimes.cuda.eager import CudaRuntime

    return CudaRuntime()


def _cuda_graph() -> Runtime:
    from predictors.runtimes.cuda.graph import CudaGraphRuntime

    return CudaGraphRuntime()


RUNTIMES: Mapping[str, Callable[[], Runtime]] = {
    "eager": _eager,
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
    "inductor": _inductor,
    "executorch": _executorch,
    "onnxruntime-int8": _onnxruntime_int8,
    "openvino-int8": _openvino_int8,
    "cuda": _cuda,
    "cuda-graph": _cuda_graph,
}


def get_runtime(name: str) -> Runtime:
    """The runtime of this name.

    Raises UnknownRuntimeError for an unknown name, or, with the line that installs it, when
    something that the runtime needs is missing.
    """
    if name not in RUNTIMES:
        raise UnknownRuntimeError(f"no runtime {name!r}; there are {', '.join(RUNTIMES)}")
    problem = missing(name)
    if problem is not None:
        raise UnknownRuntimeError(problem)
    try:
        return RUNTIMES[name]()
    except ModuleNotFoundError as error:
        lacking = REQUIREMENTS[name].package(error.name or "unknown")
        raise UnknownRuntimeError(f"runtime {name!r} needs {lacking}") from error
