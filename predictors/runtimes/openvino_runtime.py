"""OpenVINO on the CPU for torch modules: they are exported to ONNX and compiled in single precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import numpy as np
import openvino as ov

from predictors.device import Device
from predictors.errors import UnsupportedModelError
from predictors.runtimes.local import EXPORTER, local_device
from predictors.runtimes.onnx_export import OnnxExporter
from predictors.runtimes.onnx_ops import TRANSLATIONS
from predictors.runtimes.runtime import SINGLE, Images

if TYPE_CHECKING:
    from torch import Tensor, nn

PRECISION = "f32"  # unless it is said, the CPU plugin silently computes in bf16 where the CPU has it


class OpenVinoSession:
    """A compiled model of one input and one output, and an example to time it on."""

    def __init__(self, compiled: ov.CompiledModel, example: Images, file_size_bytes: int) -> None:
        self.file_size_bytes = file_size_bytes
        self._request = compiled.create_infer_request()
        self._example = np.ascontiguousarray(example)
        self._request.set_input_tensor(ov.Tensor(self._example, shared_memory=True))

    def run(self) -> None:
        """One run on the example."""
        self._request.infer()

    def outputs(self, images: Images) -> Images:
        """Logits for images of the example's shape."""
        self._request.set_input_tensor(ov.Tensor(np.ascontiguousarray(images), shared_memory=True))
        self._request.infer()
        logits: Images = self._request.get_output_tensor().data.copy()
        self._request.set_input_tensor(ov.Tensor(self._example, shared_memory=True))
        return logits


class OpenVinoRuntime:
    """Exports modules to ONNX, remembering layers that it has seen, and compiles them for latency."""

    name = "openvino"
    tolerance = SINGLE
    operators = TRANSLATIONS.keys()

    def __init__(self) -> None:
        self._exporter = OnnxExporter()
        self._core = ov.Core()

    @property
    def version(self) -> str:
        """Version of openvino and of our exporter."""
        return f"{ov.__version__}+export{EXPORTER}"

    def device(self, name: str | None = None, *, threads: int = 1, batch_size: int = 1) -> Device:
        """The local machine under OpenVINO's CPU plugin; the precision hint is part of it."""
        return local_device(self.name, self.version, name, threads=threads, batch_size=batch_size)

    def load(self, module: nn.Module, example: Tensor, *, threads: int = 1) -> OpenVinoSession:
        """Export and compile; threads and precision are fixed here, and read back.

        Raises UnsupportedModelError for a model that OpenVINO cannot compile, or not in fp32.
        """
        model = self._exporter.export(module, example).SerializeToString()
        compiled = compile_cpu(self._core, model, threads=threads)
        return OpenVinoSession(compiled, example.numpy(), len(model))

    def limit_threads(self, threads: int) -> AbstractContextManager[None]:  # noqa: ARG002
        """Nothing to do: a session's threads were fixed when it was loaded."""
        return nullcontext()


def compile_cpu(core: ov.Core, model: bytes, *, threads: int) -> ov.CompiledModel:
    """An ONNX model compiled for the CPU; whatever in it is not quantised runs in single precision.

    Raises UnsupportedModelError for a model that OpenVINO cannot compile, or not in single precision.
    """
    settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": PRECISION}
    try:
        compiled = core.compile_model(core.read_model(model), "CPU", settings)
    except RuntimeError as error:
        raise UnsupportedModelError(f"openvino {ov.__version__}: {error}") from None
    found = compiled.get_property("INFERENCE_PRECISION_HINT")
    if found != ov.Type.f32:
        raise UnsupportedModelError(f"openvino {ov.__version__} computes in {found}, not in {PRECISION}")
    return compiled
