"""Runtimes by name, imported only when asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from predictors.errors import UnknownRuntimeError
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


RUNTIMES: Mapping[str, tuple[Callable[[], Runtime], str]] = {  # name: (factory, packages that it needs)
    "eager": (_eager, "torch"),
    "onnxruntime": (_onnxruntime, "torch onnx onnxruntime"),
    "openvino": (_openvino, '"stitchnas[openvino]"'),
}


def get_runtime(name: str) -> Runtime:
    """The runtime of this name.

    Raises UnknownRuntimeError for an unknown name, or, with the line that installs it, when a
    package that the runtime needs is missing.
    """
    if name not in RUNTIMES:
        raise UnknownRuntimeError(f"no runtime {name!r}; there are {', '.join(RUNTIMES)}")
    factory, packages = RUNTIMES[name]
    try:
        return factory()
    except ModuleNotFoundError as error:
        raise UnknownRuntimeError(
            f"runtime {name!r} needs the package {error.name!r}: pip install {packages}"
        ) from error
