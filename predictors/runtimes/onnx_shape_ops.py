"""How aten operators that only move elements are written in ONNX, for static shapes."""

# ruff: noqa: ARG001 - the parameters are those of the aten operator, used or not
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from predictors.errors import UnsupportedModelError
from predictors.runtimes.onnx_graph import OnnxGraph, Shape, Symbol, Translation, Value

END = np.iinfo(np.int64).max


def regroup(g: OnnxGraph, x: Symbol, shape: Shape) -> Symbol:
    """Regroup x to this shape in row-major order; x itself if it has it."""
    return x if x.shape == tuple(shape) else g.add("Reshape", [x.name, g.integers(*shape)], shape)


def reshape(g: OnnxGraph, shape: Shape, x: Symbol, *_: Any, **__: Any) -> Symbol:
    """Every operator that only regroups elements in row-major order."""
    return regroup(g, x, shape)


def identity(g: OnnxGraph, shape: Shape, x: Symbol, *_: Any, **__: Any) -> Symbol:
    """Operators that change memory, not values."""
    return x


def transpose(g: OnnxGraph, shape: Shape, x: Symbol, a: int, b: int) -> Symbol:
    """Swap two dimensions."""
    axes = list(range(x.rank))
    axes[a], axes[b] = axes[b], axes[a]
    return g.add("Transpose", [x.name], shape, perm=axes)


def permute(g: OnnxGraph, shape: Shape, x: Symbol, dims: Sequence[int]) -> Symbol:
    """Reorder dimensions."""
    return g.add("Transpose", [x.name], shape, perm=[d % x.rank for d in dims])


def expand(g: OnnxGraph, shape: Shape, x: Symbol, *_: Any, **__: Any) -> Symbol:
    """Repeat dimensions of size one."""
    return g.add("Expand", [x.name, g.integers(*shape)], shape)


def flip(g: OnnxGraph, shape: Shape, x: Symbol, dims: Sequence[int]) -> Symbol:
    """Reverse the order along some dimensions."""
    n = len(dims)
    bounds = [g.integers(*values) for values in ([-1] * n, [-END] * n, dims, [-1] * n)]
    return g.add("Slice", [x.name, *bounds], shape)


def slice_(
    g: OnnxGraph,
    shape: Shape,
    x: Symbol,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Symbol:
    """x[start:end:step] along one dimension; x itself when that takes everything."""
    if shape == x.shape:
        return x
    stop = END if end is None else end
    bounds = [g.integers(value) for value in (start or 0, stop, dim, step)]
    return g.add("Slice", [x.name, *bounds], shape)


def select(g: OnnxGraph, shape: Shape, x: Symbol, dim: int, index: int) -> Symbol:
    """x[index] along one dimension, which disappears."""
    position = g.constant(np.array(index, dtype=np.int64), "index")
    return g.add("Gather", [x.name, position], shape, axis=dim)


def split(g: OnnxGraph, shapes: Sequence[Shape], x: Symbol, _: Any, dim: int = 0) -> list[Symbol]:
    """Consecutive pieces along one dimension; their sizes come from the trace."""
    sizes = g.integers(*(shape[dim] for shape in shapes))
    return g.add_many("Split", [x.name, sizes], shapes, axis=dim)


def unbind(g: OnnxGraph, shapes: Sequence[Shape], x: Symbol, dim: int = 0) -> list[Symbol]:
    """All slices along one dimension, which disappears."""
    return [select(g, shape, x, dim, index) for index, shape in enumerate(shapes)]


def cat(g: OnnxGraph, shape: Shape, parts: Sequence[Value], dim: int = 0) -> Symbol:
    """Join along one dimension."""
    return g.add("Concat", [g.name(part) for part in parts], shape, axis=dim)


def stack(g: OnnxGraph, shape: Shape, parts: Sequence[Value], dim: int = 0) -> Symbol:
    """Join along a new dimension."""
    axis = dim % len(shape)
    wide = (*shape[:axis], 1, *shape[axis + 1 :])
    rows = [part.reshape(wide) if isinstance(part, Tensor) else regroup(g, part, wide) for part in parts]
    return cat(g, shape, rows, axis)


def pad(
    g: OnnxGraph,
    shape: Shape,
    x: Symbol,
    widths: Sequence[int],
    mode: str = "constant",
    value: float | None = None,
) -> Symbol:
    """Constant padding; ``widths`` are (before, after) pairs from the last dimension on."""
    if mode != "constant" or min(widths, default=0) < 0:
        raise UnsupportedModelError(f"padding of mode {mode!r} and widths {tuple(widths)} cannot be exported")
    if shape == x.shape:
        return x
    missing = [0] * (x.rank - len(widths) // 2)
    before = missing + list(widths[::2])[::-1]
    after = missing + list(widths[1::2])[::-1]
    return g.add("Pad", [x.name, g.integers(*before, *after), g.scalar(value or 0.0)], shape)


def constant_pad(g: OnnxGraph, shape: Shape, x: Symbol, widths: Sequence[int], value: float = 0.0) -> Symbol:
    """The older form of constant padding."""
    return pad(g, shape, x, widths, "constant", value)


SHAPE_TRANSLATIONS: Mapping[str, Translation] = {
    "aten.view.default": reshape,
    "aten.reshape.default": reshape,
    "aten.flatten.using_ints": reshape,
    "aten.unflatten.int": reshape,
    "aten.unsqueeze.default": reshape,
    "aten.squeeze.dim": reshape,
    "aten.alias.default": identity,
    "aten.clone.default": identity,
    "aten.contiguous.default": identity,
    "aten.dropout.default": identity,
    "aten.transpose.int": transpose,
    "aten.permute.default": permute,
    "aten.expand.default": expand,
    "aten.flip.default": flip,
    "aten.slice.Tensor": slice_,
    "aten.select.int": select,
    "aten.split_with_sizes.default": split,
    "aten.split.Tensor": split,
    "aten.chunk.default": split,
    "aten.unbind.int": unbind,
    "aten.cat.default": cat,
    "aten.stack.default": stack,
    "aten.pad.default": pad,
    "aten.constant_pad_nd.default": constant_pad,
}
