"""How each aten operator is written in ONNX (opset 20), for static shapes.

A translation takes the graph, the shape(s) of the traced result and the operator's own
arguments; symbols stand for tensors that depend on the input. Operators whose tensor
arguments are all constants never get here: they are evaluated while exporting.
"""

# ruff: noqa: ARG001 - the parameters are those of the aten operator, used or not
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from predictors.errors import UnsupportedModelError
from predictors.runtimes.onnx_graph import OnnxGraph, Shape, Symbol, Translation, Value
from predictors.runtimes.onnx_shape_ops import SHAPE_TRANSLATIONS, regroup


def conv2d(
    g: OnnxGraph,
    shape: Shape,
    x: Symbol,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
) -> Symbol:
    """Convolution with symmetric zero padding."""
    inputs = [g.name(x), g.name(weight)] + ([] if bias is None else [g.name(bias)])
    return g.add(
        "Conv",
        inputs,
        shape,
        kernel_shape=list(weight.shape[2:]),
        strides=_both(stride),
        pads=_both(padding) * 2,
        dilations=_both(dilation),
        group=groups,
    )


def batch_norm(
    g: OnnxGraph,
    shape: Shape,
    x: Symbol,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    var: Tensor,
    training: bool,
    momentum: float,
    eps: float,
    cudnn: bool,
) -> Symbol:
    """Batch norm with its running statistics; raises UnsupportedModelError in train mode."""
    if training:
        raise UnsupportedModelError("batch norm in train mode cannot be exported; call eval() first")
    scale = torch.ones_like(mean) if weight is None else weight
    shift = torch.zeros_like(mean) if bias is None else bias
    inputs = [g.name(value) for value in (x, scale, shift, mean, var)]
    return g.add("BatchNormalization", inputs, shape, epsilon=eps)


def layer_norm(
    g: OnnxGraph,
    shape: Shape,
    x: Symbol,
    normalized: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn: bool = True,
) -> Symbol:
    """Layer norm over the trailing dimensions."""
    scale = torch.ones(list(normalized)) if weight is None else weight
    inputs = [g.name(x), g.name(scale)] + ([] if bias is None else [g.name(bias)])
    return g.add("LayerNormalization", inputs, shape, axis=-len(normalized), epsilon=eps)


def group_norm(
    g: OnnxGraph,
    shape: Shape,
    x: Symbol,
    groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn: bool = True,
) -> Symbol:
    """Group norm as an instance norm over flattened groups, then scale and shift per channel."""
    flat = regroup(g, x, (shape[0], groups, math.prod(shape[1:]) // groups))
    ones, zeros = torch.ones(groups), torch.zeros(groups)
    y = g.add("InstanceNormalization", [flat.name, g.name(ones), g.name(zeros)], flat.shape, epsilon=eps)
    y = regroup(g, y, shape)
    per_channel = (-1, *[1] * (len(shape) - 2))
    if weight is not None:
        y = g.add("Mul", [y.name, g.name(weight.reshape(per_channel))], shape)
    if bias is not None:
        y = g.add("Add", [y.name, g.name(bias.reshape(per_channel))], shape)
    return y


def linear(g: OnnxGraph, shape: Shape, x: Symbol, weight: Tensor, bias: Tensor | None = None) -> Symbol:
    """Product x W^T, plus b; the transposed weight is stored."""
    product = g.add("MatMul", [x.name, g.name(weight.t())], shape)
    return product if bias is None else g.add("Add", [product.name, g.name(bias)], shape)


def attention(
    g: OnnxGraph,
    shape: Shape,
    query: Symbol,
    key: Symbol,
    value: Symbol,
    mask: Value | None = None,
    dropout: float = 0.0,
    causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Symbol:
    """Scaled dot-product attention written out; no mask, no dropout."""
    if mask is not None or dropout or causal or enable_gqa:
        raise UnsupportedModelError("attention with a mask, dropout or grouped queries cannot be exported")
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    scaled = g.add("Mul", [query.name, g.scalar(factor)], query.shape)
    axes = [*range(key.rank - 2), key.rank - 1, key.rank - 2]
    turned = g.add("Transpose", [key.name], [key.shape[i] for i in axes], perm=axes)
    scores = g.add("MatMul", [scaled.name, turned.name], (*query.shape[:-1], key.shape[-2]))
    weights = g.add("Softmax", [scores.name], scores.shape, axis=-1)
    return g.add("MatMul", [weights.name, value.name], shape)


def gelu(g: OnnxGraph, shape: Shape, x: Symbol, *, approximate: str = "none") -> Symbol:
    """GELU, exact or tanh."""
    return g.add("Gelu", [x.name], shape, approximate=approximate)


def silu(g: OnnxGraph, shape: Shape, x: Symbol) -> Symbol:
    """SiLU: x sigmoid(x)."""
    return g.add("Mul", [x.name, g.add("Sigmoid", [x.name], shape).name], shape)


def softplus(g: OnnxGraph, shape: Shape, x: Symbol, beta: float = 1, threshold: float = 20) -> Symbol:
    """log(1 + exp(x)); beyond the threshold torch returns x, which differs by less than one part in 1e9."""
    if beta != 1 or threshold < 20:
        raise UnsupportedModelError(f"softplus with beta {beta} and threshold {threshold} cannot be exported")
    return g.add("Softplus", [x.name], shape)


def softmax(g: OnnxGraph, shape: Shape, x: Symbol, dim: int, dtype: torch.dtype | None = None) -> Symbol:
    """Softmax along one dimension."""
    return g.add("Softmax", [x.name], shape, axis=dim)


def cumsum(g: OnnxGraph, shape: Shape, x: Symbol, dim: int, *, dtype: torch.dtype | None = None) -> Symbol:
    """Running sum along one dimension."""
    return g.add("CumSum", [x.name, g.constant(np.array(dim, dtype=np.int64), "axis")], shape)


def mean(
    g: OnnxGraph, shape: Shape, x: Symbol, dims: Sequence[int], keepdim: bool = False, **_: Any
) -> Symbol:
    """Mean over dimensions; over the whole map it is the faster GlobalAveragePool."""
    if x.rank == 4 and sorted(d % 4 for d in dims) == [2, 3]:
        return regroup(g, g.add("GlobalAveragePool", [x.name], (*x.shape[:2], 1, 1)), shape)
    return g.add("ReduceMean", [x.name, g.integers(*dims)], shape, keepdims=int(keepdim))


def total(
    g: OnnxGraph, shape: Shape, x: Symbol, dims: Sequence[int], keepdim: bool = False, **_: Any
) -> Symbol:
    """Sum over dimensions."""
    return g.add("ReduceSum", [x.name, g.integers(*dims)], shape, keepdims=int(keepdim))


def adaptive_avg_pool2d(g: OnnxGraph, shape: Shape, x: Symbol, size: Sequence[int]) -> Symbol:
    """Average pooling to one pixel."""
    if shape[2:] != (1, 1):
        raise UnsupportedModelError(f"adaptive pooling to {tuple(size)} cannot be exported; only to (1, 1)")
    return g.add("GlobalAveragePool", [x.name], shape)


def avg_pool2d(
    g: OnnxGraph,
    shape: Shape,
    x: Symbol,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Symbol:
    """Average pooling; without a stride the windows do not overlap."""
    attributes = {
        "kernel_shape": _both(kernel),
        "strides": _both(stride or kernel),
        "pads": _both(padding) * 2,
        "ceil_mode": int(ceil_mode),
        "count_include_pad": int(count_include_pad),
    }
    return g.add("AveragePool", [x.name], shape, **attributes)


def masked_fill(g: OnnxGraph, shape: Shape, x: Value, mask: Value, value: float) -> Symbol:
    """``value`` where the mask holds."""
    return g.add("Where", [g.name(mask), g.scalar(float(value)), g.name(x)], shape)


def where(g: OnnxGraph, shape: Shape, mask: Value, yes: Value, no: Value) -> Symbol:
    """Choose by a mask."""
    return g.add("Where", [g.name(mask), g.name(yes), g.name(no)], shape)


def tril(g: OnnxGraph, shape: Shape, x: Symbol, diagonal: int = 0) -> Symbol:
    """Lower triangle of the last two dimensions."""
    return g.add("Trilu", [x.name, g.constant(np.array(diagonal, dtype=np.int64), "k")], shape, upper=0)


def unary(op: str) -> Translation:
    """An operator of one tensor that ONNX has under another name."""

    def translate(g: OnnxGraph, shape: Shape, x: Symbol) -> Symbol:
        return g.add(op, [x.name], shape)

    return translate


def binary(op: str) -> Translation:
    """An operator of two tensors or a tensor and a number, with broadcasting."""

    def translate(g: OnnxGraph, shape: Shape, a: Value | float, b: Value | float, alpha: float = 1) -> Symbol:
        if alpha != 1:
            raise UnsupportedModelError(f"{op} with alpha {alpha} cannot be exported")
        return g.add(op, [_operand(g, a), _operand(g, b)], shape)

    return translate


def reversed_sub(g: OnnxGraph, shape: Shape, x: Symbol, other: float, alpha: float = 1) -> Symbol:
    """A number minus a tensor."""
    result: Symbol = binary("Sub")(g, shape, other, x, alpha)
    return result


def _operand(g: OnnxGraph, value: Value | float) -> str:
    return g.scalar(float(value)) if isinstance(value, int | float) else g.name(value)


def _both(values: Sequence[int]) -> list[int]:
    return list(values) * 2 if len(values) == 1 else list(values)


TRANSLATIONS: Mapping[str, Translation] = {
    **SHAPE_TRANSLATIONS,
    "aten.conv2d.default": conv2d,
    "aten.batch_norm.default": batch_norm,
    "aten.layer_norm.default": layer_norm,
    "aten.group_norm.default": group_norm,
    "aten.linear.default": linear,
    "aten.matmul.default": binary("MatMul"),
    "aten.bmm.default": binary("MatMul"),
    "aten.scaled_dot_product_attention.default": attention,
    "aten.gelu.default": gelu,
    "aten.silu.default": silu,
    "aten.relu.default": unary("Relu"),
    "aten.hardswish.default": unary("HardSwish"),
    "aten.sigmoid.default": unary("Sigmoid"),
    "aten.tanh.default": unary("Tanh"),
    "aten.softplus.default": softplus,
    "aten.softmax.int": softmax,
    "aten.exp.default": unary("Exp"),
    "aten.neg.default": unary("Neg"),
    "aten.sqrt.default": unary("Sqrt"),
    "aten.add.Tensor": binary("Add"),
    "aten.sub.Tensor": binary("Sub"),
    "aten.rsub.Scalar": reversed_sub,
    "aten.mul.Tensor": binary("Mul"),
    "aten.div.Tensor": binary("Div"),
    "aten.cumsum.default": cumsum,
    "aten.mean.dim": mean,
    "aten.sum.dim_IntList": total,
    "aten.adaptive_avg_pool2d.default": adaptive_avg_pool2d,
    "aten.avg_pool2d.default": avg_pool2d,
    "aten.masked_fill.Scalar": masked_fill,
    "aten.where.self": where,
    "aten.tril.default": tril,
}
