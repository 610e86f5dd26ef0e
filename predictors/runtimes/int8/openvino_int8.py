"""OpenVINO on the CPU in INT8, from the QDQ model that ONNX Runtime quantises: no further dependency."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import onnxruntime as ort
import openvino as ov

from predictors.device import Device
from predictors.errors import UnsupportedModelError
from predictors.runtimes.int8.quantise import QUANTISER, TOLERANCE
from predictors.runtimes.int8.quantised import Quantised
from predictors.runtimes.local import EXPORTER, local_device
from predictors.runtimes.onnx_ops import TRANSLATIONS
from predictors.runtimes.openvino_runtime import OpenVinoSession, compile_cpu
from predictors.runtimes.runtime import Images

if TYPE_CHECKING:
    from torch import Tensor, nn

HEAVY = ("Convolution", "FullyConnected", "MatMul")
INT8 = ("i8", "u8")


class OpenVinoInt8Runtime:
    """Quantises exported modules on calibration images (N, C, R, R) float32; see ``Quantised``."""

    name = "openvino-int8"
    tolerance = TOLERANCE
    operators = TRANSLATIONS.keys()

    def __init__(self, calibration: Images | None = None) -> None:
        self._quantised = Quantised(self.name, calibration)
        self._core = ov.Core()

    @property
    def version(self) -> str:
        """Versions of openvino, of our exporter, and of what quantises."""
        return f"{ov.__version__}+export{EXPORTER}+int8.{QUANTISER}-onnxruntime{ort.__version__}"

    def device(self, name: str | None = None, *, threads: int = 1, batch_size: int = 1) -> Device:
        """The local machine under OpenVINO's CPU plugin, in INT8."""
        return local_device(
            self.name, self.version, name, threads=threads, batch_size=batch_size, precision="int8"
        )

    def load(self, module: nn.Module, example: Tensor, *, threads: int = 1) -> OpenVinoSession:
        """Export, quantise, compile and compare with eager; raises what ``Quantised.open`` raises.

        UnsupportedModelError also where the plugin runs no layer in int8, as it may on another CPU.
        """

        def start(model: bytes) -> OpenVinoSession:
            compiled = compile_cpu(self._core, model, threads=threads)
            if not int8_layers(compiled):
                raise UnsupportedModelError(f"openvino {ov.__version__} runs no layer of it in int8")
            return OpenVinoSession(compiled, example.numpy(), len(model))

        return self._quantised.open(module, example, start)

    def limit_threads(self, threads: int) -> AbstractContextManager[None]:  # noqa: ARG002
        """Nothing to do: a session's threads were fixed when it was loaded."""
        return nullcontext()


def int8_layers(compiled: ov.CompiledModel) -> tuple[str, ...]:
    """Names of the convolutions and matrix products that the plugin runs in int8."""
    found = []
    for node in compiled.get_runtime_model().get_ops():
        info = node.get_rt_info()
        if info["layerType"].astype(str) in HEAVY and info["runtimePrecision"].astype(str) in INT8:
            found.append(node.get_friendly_name())
    return tuple(found)
