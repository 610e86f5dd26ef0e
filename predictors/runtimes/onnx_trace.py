"""Trace a module once into a short list of aten operators, without its weights.

The record of a layer can be replayed with the weights of any layer of the same class,
arguments and input shape, which is what makes exporting many subnets of one supernet cheap.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from predictors.errors import UnsupportedModelError

Dims: TypeAlias = tuple[int, ...]
WEIGHT_KINDS = (InputKind.PARAMETER, InputKind.BUFFER)


@dataclass(frozen=True, slots=True)
class Ref:
    """Stands for an earlier value among the arguments of a step."""

    name: str


@dataclass(frozen=True, slots=True)
class Step:
    """One operator call: ``shape`` is that of its result, or a list of shapes for several results."""

    name: str
    target: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    shape: Dims | list[Dims] | None


@dataclass(frozen=True, slots=True)
class Trace:
    """A module of one input and one output: weights by qualified name, constants by value."""

    input: str
    weights: Mapping[str, str]  # value name -> name of the parameter or buffer
    constants: Mapping[str, Tensor]
    steps: tuple[Step, ...]
    output: Ref
    output_shape: Dims


def trace(module: nn.Module, example: Tensor) -> Trace:
    """The operators that the module runs on an input of this shape, in eval mode.

    Raises UnsupportedModelError if the module has more than one tensor input or output.
    """
    with torch.no_grad():
        program = torch.export.export(module, (example,))
    signature = program.graph_signature
    if len(signature.user_inputs) != 1 or len(signature.user_outputs) != 1:
        raise UnsupportedModelError("only modules with one input and one output can be exported")
    steps = tuple(
        Step(node.name, node.target, _plain(node.args), _plain(node.kwargs), shape_of(node.meta.get("val")))
        for node in program.graph.nodes
        if node.op == "call_function"
    )
    result = program.graph.output_node().args[0][0]
    return Trace(
        input=str(signature.user_inputs[0]),
        weights={
            spec.arg.name: str(spec.target)
            for spec in signature.input_specs
            if spec.kind in WEIGHT_KINDS and spec.persistent is not False
        },
        constants=_constants(program),
        steps=steps,
        output=Ref(result.name),
        output_shape=tuple(result.meta["val"].shape),
    )


def is_getitem(step: Step) -> bool:
    """Whether the step takes one of several results of an earlier step."""
    return step.target is operator.getitem


def shape_of(value: Any) -> Dims | list[Dims] | None:
    """Shape of a tensor, shapes of several, None for anything else."""
    if isinstance(value, Tensor):
        return tuple(value.shape)
    if isinstance(value, list | tuple):
        return [tuple(item.shape) for item in value]
    return None


def _constants(program: ExportedProgram) -> dict[str, Tensor]:
    constants = {}
    for spec in program.graph_signature.input_specs:
        if spec.kind == InputKind.CONSTANT_TENSOR or (spec.kind in WEIGHT_KINDS and spec.persistent is False):
            constants[spec.arg.name] = program.constants[str(spec.target)]
    return constants


def _plain(value: Any) -> Any:
    """Graph nodes replaced by references, containers by plain ones."""
    if isinstance(value, torch.fx.Node):
        return Ref(value.name)
    if isinstance(value, tuple | list):
        return (
            type(value)(_plain(item) for item in value)
            if type(value) is tuple
            else [_plain(v) for v in value]
        )
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value
