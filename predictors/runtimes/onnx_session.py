"""ONNX models under ONNX Runtime on the CPU, with neither torch nor onnx: what a device agent runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_state

from predictors.errors import UnsupportedModelError
from predictors.runtimes.runtime import Images

ERROR = 3  # severity of onnxruntime's log
_NAMES = [
    "Fail",
    "InvalidArgument",
    "InvalidGraph",
    "InvalidProtobuf",
    "NotImplemented",
    "NoModel",
    "RuntimeException",
    "EPFail",
]
REFUSALS: tuple[type[Exception], ...] = tuple(  # raised for a model that cannot be loaded or run
    getattr(ort_state, name) for name in _NAMES if hasattr(ort_state, name)
)


class OnnxSession:
    """An ONNX model with one input and one output, and an example to time it on.

    Without an example it is timed on images of the model's own input shape, always the same.
    """

    def __init__(self, model: bytes, example: Images | None = None, *, threads: int = 1) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = ERROR
        # Workers that spin between runs would burn CPU time, which is the clock.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.file_size_bytes = len(model)
        source = self._session.get_inputs()[0]
        self._name = source.name
        self._feed = {self._name: np.ascontiguousarray(_images(source.shape) if example is None else example)}

    def run(self) -> None:
        """One run on the example."""
        self._session.run(None, self._feed)

    def outputs(self, images: Images) -> Images:
        """Logits for images of the example's shape."""
        logits: Images = self._session.run(None, {self._name: np.ascontiguousarray(images)})[0]
        return logits


def open_model(model: bytes, *, threads: int = 1) -> OnnxSession:
    """A session over the bytes of an ONNX model with one input of fixed shape, which has run once.

    Raises UnsupportedModelError for a model that this machine's ONNX Runtime cannot run.
    """
    try:
        session = OnnxSession(model, threads=threads)
        session.run()
    except REFUSALS as error:
        raise UnsupportedModelError(f"onnxruntime {ort.__version__}: {error}") from None
    return session


def _images(shape: Sequence[int | str | None]) -> Images:
    """Random images in [0, 1] of a fixed shape."""
    sizes = [size for size in shape if isinstance(size, int)]
    if len(sizes) < len(shape):
        raise UnsupportedModelError(f"the model's input must have a fixed shape; got {shape}")
    return np.random.default_rng(0).random(sizes, dtype=np.float32)
