"""The reference networks as ONNX models, for agents."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from predictors.references.plan import PLANS, SIDE, VERSION, Conv, Product, Scale, Step, weights

OPSET, IR = 17, 8


class _Net:
    """A chain of operators over images (1, 3, SIDE, SIDE)."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._value = "images"

    def add(self, step: Step, weight: NDArray[np.float32]) -> None:
        """Append the operators of a step."""
        match step:
            case Conv(k=k, groups=groups, stride=stride):
                self._op("Conv", weight, pads=[k // 2] * 4, group=groups, strides=[stride] * 2)
                self._op("Relu")
            case Product():
                self._op("MatMul", weight)
                self._op("Softmax", axis=-1)
            case Scale():
                self._op("Mul", weight)
                self._op("Sigmoid")

    def bytes(self) -> bytes:
        """The model, its last value pooled to logits."""
        self._op("GlobalAveragePool")
        self._op("Flatten")
        graph = helper.make_graph(
            self._nodes,
            f"reference-{VERSION}",
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, (1, 3, SIDE, SIDE))],
            [helper.make_tensor_value_info(self._value, TensorProto.FLOAT, (1, None))],
            self._weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = IR
        onnx.checker.check_model(model)
        data: bytes = model.SerializeToString(deterministic=True)
        return data

    def _op(self, kind: str, *weights: NDArray[np.float32], **attributes: Any) -> None:
        number = len(self._nodes)
        names = [f"w{number}_{index}" for index in range(len(weights))]
        self._weights += [
            numpy_helper.from_array(array, name) for array, name in zip(weights, names, strict=True)
        ]
        output = f"v{number}"
        self._nodes.append(helper.make_node(kind, [self._value, *names], [output], **attributes))
        self._value = output


def reference_nets() -> tuple[bytes, ...]:
    """Six ONNX models, always the same bytes."""
    models = []
    for number, plan in enumerate(PLANS):
        net = _Net()
        for step, weight in zip(plan, weights(number), strict=True):
            net.add(step, weight)
        models.append(net.bytes())
    return tuple(models)
