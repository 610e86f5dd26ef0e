"""Reference networks: small ONNX models, always the same, that every campaign of a remote device measures.

Their times say whether two campaigns found the device in the same condition, and by how much its
speed differed. One network would not do: the level of a single one moved by up to 1.5 between
processes while thirty others moved by 3 %; the geometric mean of five moved by 1.2 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

VERSION = 1  # raised whenever a network changes: times of two versions are not compared
OPSET, IR = 17, 8
SIDE = 16  # of the images, pixels


class _Net:
    """A chain of operators over images (1, 3, SIDE, SIDE) with random weights."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng([VERSION, seed])
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self.value = "images"

    def op(self, kind: str, *weights: Sequence[int], **attributes: Any) -> _Net:
        """Append an operator whose further inputs are weights of these shapes."""
        number = len(self._nodes)
        names = []
        for index, shape in enumerate(weights):
            fan_in = max(1, int(np.prod(shape[1:])))
            array = self._rng.standard_normal(shape).astype(np.float32) / np.float32(fan_in**0.5)
            names.append(f"w{number}_{index}")
            self._weights.append(numpy_helper.from_array(array, names[-1]))
        output = f"v{number}"
        self._nodes.append(helper.make_node(kind, [self.value, *names], [output], **attributes))
        self.value = output
        return self

    def conv(self, c_in: int, c_out: int, k: int, *, groups: int = 1, stride: int = 1) -> _Net:
        """A convolution and a ReLU."""
        pads = [k // 2] * 4
        shape = (c_out, c_in // groups, k, k)
        return self.op("Conv", shape, pads=pads, group=groups, strides=[stride] * 2).op("Relu")

    def bytes(self) -> bytes:
        """The model, its last value pooled to logits."""
        self.op("GlobalAveragePool").op("Flatten")
        graph = helper.make_graph(
            self._nodes,
            f"reference-{VERSION}",
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, (1, 3, SIDE, SIDE))],
            [helper.make_tensor_value_info(self.value, TensorProto.FLOAT, (1, None))],
            self._weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = IR
        onnx.checker.check_model(model)
        data: bytes = model.SerializeToString(deterministic=True)
        return data


def reference_nets() -> tuple[bytes, ...]:
    """Six ONNX models: what the spaces' networks are made of, each kind of work on its own.

    Dense convolutions, depthwise ones, pointwise ones, large matrix products (attention and
    state-space blocks are made of them), element-wise work on large maps, and a mixture.
    """
    dense = _Net(0).conv(3, 24, 3).conv(24, 24, 3).conv(24, 24, 3)
    depthwise = _Net(1).conv(3, 48, 1)
    for _ in range(4):
        depthwise.conv(48, 48, 5, groups=48)
    pointwise = _Net(2).conv(3, 64, 1).conv(64, 128, 1).conv(128, 64, 1)
    products = _Net(3).conv(3, 64, 1)
    for _ in range(4):
        products.op("MatMul", (SIDE, SIDE)).op("Softmax", axis=-1)
    elementwise = _Net(4).conv(3, 96, 1)
    for _ in range(6):
        elementwise.op("Mul", (96, 1, 1)).op("Sigmoid")
    mixed = _Net(5).conv(3, 32, 3, stride=2).conv(32, 64, 1).conv(64, 64, 3, groups=64).conv(64, 96, 1)
    return tuple(net.bytes() for net in (dense, depthwise, pointwise, products, elementwise, mixed))
