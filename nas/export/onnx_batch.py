"""ONNX graphs for any batch size, out of an exporter of static shapes.

The network is exported at two batch sizes. Where the two graphs differ in nothing but one
number of a Reshape's target, that number is the one that follows the batch, and ONNX's -1
("whatever is left") stands for it. Anything else that differs cannot be exported this way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import onnx
from onnx import numpy_helper
from torch import Tensor, nn

from nas.errors import ExportError
from predictors.runtimes.onnx_export import export_onnx

BATCHES = (2, 3)  # not 1, which broadcasts
DIMENSION = "batch"


def export_any_batch(network: nn.Module, example: Tensor) -> onnx.ModelProto:
    """A model whose input and output have a first dimension called ``batch``.

    ``example`` is (1, C, R, R) float32. Raises ExportError, which names the value or node, if the
    graph depends on the batch size in another way, and UnsupportedModelError as ``export_onnx`` does.
    """
    model, other = (export_onnx(network, example.repeat(n, 1, 1, 1)) for n in BATCHES)
    _require_same_nodes(model, other)
    users = _users(model)
    others = {tensor.name: tensor for tensor in other.graph.initializer}
    for tensor in model.graph.initializer:
        if tensor.SerializeToString() != others[tensor.name].SerializeToString():
            tensor.CopyFrom(_generalised(tensor, others[tensor.name], users))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = DIMENSION
    return model


def _require_same_nodes(model: onnx.ModelProto, other: onnx.ModelProto) -> None:
    if len(model.graph.node) != len(other.graph.node):
        raise ExportError("the graph has another number of nodes at another batch size")
    for a, b in zip(model.graph.node, other.graph.node, strict=True):
        if a.SerializeToString() != b.SerializeToString():
            raise ExportError(f"node {a.name!r} depends on the batch size")
    if [t.name for t in model.graph.initializer] != [t.name for t in other.graph.initializer]:
        raise ExportError("the graph has other constants at another batch size")


def _users(model: onnx.ModelProto) -> Mapping[str, set[tuple[str, int]]]:
    """Name of a value to the operators that take it, each with the position of the argument."""
    users: dict[str, set[tuple[str, int]]] = defaultdict(set)
    for node in model.graph.node:
        for position, name in enumerate(node.input):
            users[name].add((node.op_type, position))
    return users


def _generalised(
    tensor: onnx.TensorProto, other: onnx.TensorProto, users: Mapping[str, set[tuple[str, int]]]
) -> onnx.TensorProto:
    a, b = numpy_helper.to_array(tensor), numpy_helper.to_array(other)
    is_target = users[tensor.name] == {("Reshape", 1)} and a.shape == b.shape and -1 not in a
    if not is_target or np.count_nonzero(a != b) != 1:
        raise ExportError(f"constant {tensor.name!r} depends on the batch size")
    return numpy_helper.from_array(np.where(a != b, np.int64(-1), a), tensor.name)
