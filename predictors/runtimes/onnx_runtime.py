"""ONNX Runtime on the CPU for torch modules: they are exported, and run as ``OnnxSession``."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import onnxruntime as ort

from predictors.device import Device
from predictors.runtimes.local import EXPORTER, local_device
from predictors.runtimes.onnx_export import OnnxExporter
from predictors.runtimes.onnx_ops import TRANSLATIONS
from predictors.runtimes.onnx_session import OnnxSession
from predictors.runtimes.runtime import SINGLE

if TYPE_CHECKING:
    from torch import Tensor, nn


class OnnxRuntime:
    """Exports modules to ONNX, remembering layers that it has seen, and runs them."""

    name = "onnxruntime"
    tolerance = SINGLE
    operators = TRANSLATIONS.keys()

    def __init__(self) -> None:
        self._exporter = OnnxExporter()

    @property
    def version(self) -> str:
        """Version of onnxruntime and of our exporter."""
        return f"{ort.__version__}+export{EXPORTER}"

    def device(self, name: str | None = None, *, threads: int = 1, batch_size: int = 1) -> Device:
        """The local machine under ONNX Runtime's CPU provider."""
        return local_device(self.name, self.version, name, threads=threads, batch_size=batch_size)

    def load(self, module: nn.Module, example: Tensor, *, threads: int = 1) -> OnnxSession:
        """Export and load; threads are fixed here."""
        model = self._exporter.export(module, example).SerializeToString()
        return OnnxSession(model, example.numpy(), threads=threads)

    def limit_threads(self, threads: int) -> AbstractContextManager[None]:  # noqa: ARG002
        """Nothing to do: a session's threads were fixed when it was loaded."""
        return nullcontext()
