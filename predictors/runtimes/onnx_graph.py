"""OnnxGraph: collects the nodes and initialisers of one ONNX model with static shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

OPSET = 20  # Gelu is one node from 20 on
IR_VERSION = 9  # the oldest that knows opset 20, so that older runtimes load the file
PRODUCER = "stitchnas"


@dataclass(frozen=True, slots=True)
class Symbol:
    """A value that is known only when the model runs."""

    name: str
    shape: tuple[int, ...]

    @property
    def rank(self) -> int:
        """Number of dimensions."""
        return len(self.shape)


Value: TypeAlias = Symbol | Tensor
Shape: TypeAlias = tuple[int, ...]
Translation: TypeAlias = Callable[..., Any]  # (graph, shape(s) of the result, *arguments of the operator)


@dataclass(slots=True)
class OnnxGraph:
    """A graph under construction. All symbols are float32 unless a node makes them otherwise."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: dict[str, onnx.TensorProto] = field(default_factory=dict)
    _count: int = 0
    _known: dict[int, tuple[Tensor, str]] = field(default_factory=dict)

    def name(self, value: Value) -> str:
        """The name of a symbol, or of an initialiser that holds this tensor."""
        if isinstance(value, Symbol):
            return value.name
        if id(value) not in self._known:
            array = value.detach().cpu().contiguous().numpy()
            self._known[id(value)] = (
                value,
                self.constant(array),
            )  # the tensor is held, so its id stays its own
        return self._known[id(value)][1]

    def constant(self, array: NDArray[Any], hint: str = "constant") -> str:
        """A new initialiser; equal ones are not shared."""
        name = self._fresh(hint)
        self.initializers[name] = numpy_helper.from_array(array, name)
        return name

    def integers(self, *values: int) -> str:
        """A 1-D int64 initialiser."""
        return self.constant(np.array(values, dtype=np.int64), "shape")

    def scalar(self, value: float) -> str:
        """A float32 initialiser of rank 0."""
        return self.constant(np.array(value, dtype=np.float32), "scalar")

    def add(self, op: str, inputs: Sequence[str], shape: Sequence[int], **attributes: Any) -> Symbol:
        """Append a node with one output of this shape; an attribute that is None is left out."""
        name = self._fresh(op)
        self._append(op, inputs, [name], attributes)
        return Symbol(name, tuple(shape))

    def add_many(
        self, op: str, inputs: Sequence[str], shapes: Sequence[Sequence[int]], **attributes: Any
    ) -> list[Symbol]:
        """Append a node with several outputs."""
        names = [self._fresh(op) for _ in shapes]
        self._append(op, inputs, names, attributes)
        return [Symbol(name, tuple(shape)) for name, shape in zip(names, shapes, strict=True)]

    def model(self, inputs: Mapping[str, Sequence[int]], outputs: Mapping[str, Symbol]) -> onnx.ModelProto:
        """The finished float32 model; ``outputs`` gives public names to symbols."""
        nodes = [*self.nodes]
        nodes += [helper.make_node("Identity", [value.name], [name]) for name, value in outputs.items()]
        graph = helper.make_graph(
            nodes,
            PRODUCER,
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, list(s)) for n, s in inputs.items()],
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, list(v.shape)) for n, v in outputs.items()],
            list(self.initializers.values()),
        )
        return helper.make_model(
            graph,
            producer_name=PRODUCER,
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )

    def _append(
        self, op: str, inputs: Sequence[str], outputs: Sequence[str], attributes: Mapping[str, Any]
    ) -> None:
        given = {key: value for key, value in attributes.items() if value is not None}
        self.nodes.append(helper.make_node(op, list(inputs), list(outputs), f"{op}_{self._count}", **given))

    def _fresh(self, hint: str) -> str:
        self._count += 1
        return f"{hint}_{self._count}"
