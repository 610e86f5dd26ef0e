"""ONNX models in INT8: quantised statically by ONNX Runtime, as QuantizeLinear/DequantizeLinear pairs (QDQ).

Convolutions and products with constant matrices get int8 weights, one scale per output channel,
and int8 activations, whose ranges are the extremes that calibration images cause. The products of
two activations in attention, normalisations and activation functions stay in single precision:
around cheap operators the conversions cost more than they save. Both int8 devices run the same model.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from predictors.errors import InvalidValueError, UnsupportedModelError
from predictors.runtimes.onnx_export import INPUT
from predictors.runtimes.onnx_session import ERROR
from predictors.runtimes.runtime import Images

QUANTISER = 1  # raised whenever quantised models get another speed
BATCHES = 8  # of random calibration images
WEIGHT_RANK = 2
TOLERANCE = 0.1  # relative error of the logits that int8 is held to, on the calibration images


def random_batches(example: Images, *, seed: int = 0) -> tuple[Images, ...]:
    """The example (B, C, R, R) and BATCHES - 1 batches of uniform random images of its range."""
    rng = np.random.default_rng([seed, BATCHES])
    low, high = float(example.min()), float(example.max())
    others = (rng.uniform(low, high, example.shape).astype(np.float32) for _ in range(BATCHES - 1))
    return (np.ascontiguousarray(example), *others)


def batches_of(images: Images, shape: Sequence[int]) -> tuple[Images, ...]:
    """Calibration images (N, C, R, R) float32 in batches of the example's shape; a remainder is left out.

    Raises InvalidValueError if there is not one whole batch, or an image has another shape.
    """
    size = shape[0]
    if images.dtype != np.float32 or images.shape[1:] != tuple(shape[1:]) or len(images) < size:
        raise InvalidValueError(
            f"calibration images must be at least {size} of shape {tuple(shape[1:])}, float32; "
            f"got {images.shape}, {images.dtype}"
        )
    return tuple(images[start : start + size] for start in range(0, len(images) - size + 1, size))


def quantise(model: onnx.ModelProto, batches: Sequence[Images]) -> bytes:
    """The int8 model of a float32 model with the input ``images``, calibrated on batches of its shape.

    Raises UnsupportedModelError if the model has nothing that could be quantised.
    """
    with tempfile.TemporaryDirectory(prefix="nas-int8-") as folder:
        plain, quantised = Path(folder) / "plain.onnx", Path(folder) / "int8.onnx"
        nodes = _prepare(model, plain)
        if not nodes:
            raise UnsupportedModelError("nothing to quantise: no convolution, no product with a constant")
        quantize_static(
            plain,
            quantised,
            _Batches(batches),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            nodes_to_quantize=nodes,
        )
        return quantised.read_bytes()


def _prepare(model: onnx.ModelProto, file: Path) -> list[str]:
    """Write the model with batch norms folded into convolutions; the names of the nodes to quantise."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(file)
    options.log_severity_level = ERROR
    ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    prepared = onnx.load(file)
    weights = {tensor.name: len(tensor.dims) for tensor in prepared.graph.initializer}
    nodes = [node for node in prepared.graph.node if _is_heavy(node, weights)]
    for index, node in enumerate(prepared.graph.node):
        node.name = f"{node.op_type}_{index}"  # fused nodes may have none, or the same
    # What the quantiser looks for; without it, it warns that a model should be prepared first.
    onnx.helper.set_model_props(prepared, {"onnx.quant.pre_process": "onnxruntime.quant"})
    onnx.save(prepared, file)
    return [node.name for node in nodes]


def _is_heavy(node: onnx.NodeProto, weights: dict[str, int]) -> bool:
    rank = weights.get(node.input[1]) if len(node.input) > 1 else None
    if node.op_type == "Conv":
        return rank is not None
    return node.op_type in ("MatMul", "Gemm") and rank == WEIGHT_RANK


class _Batches(CalibrationDataReader):  # type: ignore[misc]  # ONNX Runtime's classes are untyped
    """Calibration batches as the quantiser asks for them."""

    def __init__(self, batches: Sequence[Images]) -> None:
        self._batches: Iterator[Images] = iter(batches)

    def get_next(self) -> dict[str, Images] | None:
        """The next batch, None after the last."""
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}
