"""PyTorch modules to ONNX: finalists whole, candidates layer by layer at next to no cost.

``torch.onnx.export`` takes 2 to 5 s for a subnet and, unless its optimiser is on, writes a graph that runs
1.6 times slower; these graphs run as fast as the optimised ones. ``export_onnx`` traces a whole network with
``torch.export``. ``OnnxExporter`` records each layer by running it once, remembers that, and merges what it
remembers into one graph per subnet, with the same nodes in the same order. Constants are folded by running
them, and each remaining operator has one translation. An operator without one is an error, never an
approximation.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Mapping
from typing import Any, Protocol, runtime_checkable

import onnx
import torch
from torch import Tensor, nn

from predictors.errors import InvalidValueError, UnsupportedModelError
from predictors.runtimes.onnx_graph import OnnxGraph, Symbol, Value
from predictors.runtimes.onnx_ops import TRANSLATIONS
from predictors.runtimes.onnx_record import record
from predictors.runtimes.onnx_trace import Ref, Step, Trace, is_getitem, trace

INPUT, OUTPUT = "images", "logits"
CACHED_LAYERS = 4096  # traces without weights: some tens of KiB each


class PlainLayer(Protocol):
    """How one layer of a chain was constructed: ``cls(**kwargs)``."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def cls(self) -> type[nn.Module]: ...  # noqa: D102
    @property
    def kwargs(self) -> Mapping[str, Any]: ...  # noqa: D102


@runtime_checkable
class Chain(Protocol):
    """A network that is nothing but ``body``, whose children were constructed as ``layers`` say."""

    layers: tuple[PlainLayer, ...]
    body: nn.Sequential


class OnnxExporter:
    """Exports chains for measuring, and remembers the layers that it has seen, whatever their weights."""

    def __init__(self) -> None:
        self._traces: OrderedDict[Hashable, Trace] = OrderedDict()

    def export(self, module: nn.Module, example: Tensor) -> onnx.ModelProto:
        """A float32 model with input ``images`` (the example's shape) and output ``logits``.

        A module that is no ``Chain`` is exported whole. Raises as ``export_onnx``.
        """
        if not isinstance(module, Chain):
            return export_onnx(module, example)
        _require_eval(module)
        graph = OnnxGraph()
        value = Symbol(INPUT, tuple(example.shape))
        for layer in module.layers:
            plain = module.body.get_submodule(layer.name)
            value = _replay(graph, self._trace(layer, plain, value.shape), _tensors(plain), value)
        return graph.model({INPUT: example.shape}, {OUTPUT: value})

    def _trace(self, layer: PlainLayer, module: nn.Module, shape: tuple[int, ...]) -> Trace:
        key = (layer.cls, tuple(sorted(layer.kwargs.items())), shape)
        known = self._traces.get(key)
        if known is None:
            known = self._traces[key] = record(module, torch.zeros(shape))
            while len(self._traces) > CACHED_LAYERS:
                self._traces.popitem(last=False)
        return known


def export_onnx(module: nn.Module, example: Tensor) -> onnx.ModelProto:
    """One network in eval mode to ONNX as ``OnnxExporter.export``, from a trace of the whole of it.

    Raises UnsupportedModelError, which names the operator, and InvalidValueError in train mode.
    """
    _require_eval(module)
    graph = OnnxGraph()
    images = Symbol(INPUT, tuple(example.shape))
    value = _replay(graph, trace(module, torch.zeros(images.shape)), _tensors(module), images)
    return graph.model({INPUT: example.shape}, {OUTPUT: value})


def _require_eval(module: nn.Module) -> None:
    if module.training:
        raise InvalidValueError("module is in train mode; call eval() before it is exported")


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _replay(graph: OnnxGraph, record: Trace, tensors: Mapping[str, Tensor], value: Symbol) -> Symbol:
    known: dict[str, Any] = {record.input: value, **record.constants}
    known.update({name: tensors[target].detach() for name, target in record.weights.items()})
    for step in record.steps:
        args, kwargs = _resolve(step.args, known), _resolve(step.kwargs, known)
        if is_getitem(step) or not _has_symbol((args, kwargs)):
            with torch.no_grad():
                known[step.name] = step.target(*args, **kwargs)
        else:
            known[step.name] = _translate(graph, step, args, kwargs)
    result: Value = known[record.output.name]
    return Symbol(graph.name(result), record.output_shape)


def _translate(graph: OnnxGraph, step: Step, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    translation = TRANSLATIONS.get(str(step.target))
    if translation is None:
        raise UnsupportedModelError(f"operator {step.target} has no translation to ONNX")
    return translation(graph, step.shape, *args, **kwargs)


def _resolve(value: Any, known: Mapping[str, Any]) -> Any:
    if isinstance(value, Ref):
        return known[value.name]
    if isinstance(value, tuple):
        return tuple(_resolve(item, known) for item in value)
    if isinstance(value, list):
        return [_resolve(item, known) for item in value]
    if isinstance(value, Mapping):
        return {key: _resolve(item, known) for key, item in value.items()}
    return value


def _has_symbol(value: Any) -> bool:
    if isinstance(value, Mapping):
        return _has_symbol(tuple(value.values()))
    if isinstance(value, tuple | list):
        return any(_has_symbol(item) for item in value)
    return isinstance(value, Symbol)
