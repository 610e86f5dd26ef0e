"""ONNX Runtime on the CPU in INT8: a device of its own beside single precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import onnxruntime as ort

from predictors.device import Device
from predictors.runtimes.int8.quantise import QUANTISER, TOLERANCE
from predictors.runtimes.int8.quantised import Quantised
from predictors.runtimes.local import EXPORTER, local_device
from predictors.runtimes.onnx_ops import TRANSLATIONS
from predictors.runtimes.onnx_session import OnnxSession
from predictors.runtimes.runtime import Images

if TYPE_CHECKING:
    from torch import Tensor, nn


class OnnxInt8Runtime:
    """Quantises exported modules on calibration images (N, C, R, R) float32; see ``Quantised``."""

    name = "onnxruntime-int8"
    tolerance = TOLERANCE
    operators = TRANSLATIONS.keys()

    def __init__(self, calibration: Images | None = None) -> None:
        self._quantised = Quantised(self.name, calibration)

    @property
    def version(self) -> str:
        """Version of onnxruntime, of our exporter and of how we have it quantise."""
        return f"{ort.__version__}+export{EXPORTER}+int8.{QUANTISER}"

    def device(self, name: str | None = None, *, threads: int = 1, batch_size: int = 1) -> Device:
        """The local machine under ONNX Runtime's CPU provider, in INT8."""
        return local_device(
            self.name, self.version, name, threads=threads, batch_size=batch_size, precision="int8"
        )

    def load(self, module: nn.Module, example: Tensor, *, threads: int = 1) -> OnnxSession:
        """Export, quantise, load and compare with eager; raises what ``Quantised.open`` raises."""
        return self._quantised.open(
            module, example, lambda model: OnnxSession(model, example.numpy(), threads=threads)
        )

    def limit_threads(self, threads: int) -> AbstractContextManager[None]:  # noqa: ARG002
        """Nothing to do: a session's threads were fixed when it was loaded."""
        return nullcontext()
