"""Record what a module runs by running it once: what ``onnx_trace.trace`` finds, some fifty times faster.

Under inference mode PyTorch hands composite operators (convolution, attention, ...) undivided to a dispatch
mode, which are the operators that ``torch.export`` writes down. Unlike it, a recording cannot see that
Python code looked at a tensor without an operator, so it is for layers of our own that are measured by the
hundred; what ships is traced whole.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from predictors.errors import UnsupportedModelError
from predictors.runtimes.onnx_trace import Ref, Step, Trace, shape_of


def record(module: nn.Module, example: Tensor) -> Trace:
    """The operators that the module runs on an input of this shape, in eval mode.

    Raises UnsupportedModelError for an operator that gives a number or changes its argument, and for a
    module whose result is not one tensor.
    """
    recorder = _Recorder(module, example)
    with torch.inference_mode(), recorder:
        result = module(example)
    return recorder.trace(result)


class _Recorder(TorchDispatchMode):
    """Writes down each operator; tensors are known by identity, and held, so that identities last."""

    def __init__(self, module: nn.Module, example: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._names: dict[int, tuple[Tensor, str]] = {id(example): (example, "input")}
        named = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        self._weights = {id(tensor): target for target, tensor in named.items()}
        self._used: dict[str, str] = {}
        self._constants: dict[str, Tensor] = {}
        self._steps: list[Step] = []

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run the operator and note it."""
        if func._schema.is_mutable:  # type: ignore[attr-defined]
            raise UnsupportedModelError(f"operator {func} changes its argument and cannot be exported")
        result = func(*args, **(kwargs or {}))
        shape = shape_of(result)
        if shape is None:
            raise UnsupportedModelError(f"operator {func} gives no tensor and cannot be exported")
        name = self._note(func, self._referred(args), self._referred(kwargs or {}), shape)
        if isinstance(result, Tensor):
            self._names[id(result)] = (result, name)
        else:
            for index, item in enumerate(result):
                part = self._note(operator.getitem, (Ref(name), index), {}, tuple(item.shape))
                self._names[id(item)] = (item, part)
        return result

    def trace(self, result: Any) -> Trace:
        """The record of a module that returned ``result``."""
        if not isinstance(result, Tensor) or id(result) not in self._names:
            raise UnsupportedModelError("only modules with one input and one output can be exported")
        return Trace(
            input="input",
            weights=self._used,
            constants=self._constants,
            steps=tuple(self._steps),
            output=Ref(self._names[id(result)][1]),
            output_shape=tuple(result.shape),
        )

    def _note(self, target: Callable[..., Any], args: Any, kwargs: Any, shape: Any) -> str:
        name = f"step{len(self._steps)}"
        self._steps.append(Step(name, target, args, kwargs, shape))
        return name

    def _referred(self, value: Any) -> Any:
        """Tensors replaced by references, containers by plain ones."""
        if isinstance(value, Tensor):
            return Ref(self._name(value))
        if isinstance(value, tuple | list):
            return type(value)(self._referred(item) for item in value)
        if isinstance(value, Mapping):
            return {key: self._referred(item) for key, item in value.items()}
        return value

    def _name(self, tensor: Tensor) -> str:
        if id(tensor) not in self._names:
            weight = self._weights.get(id(tensor))
            if weight is not None:
                name = f"weight{len(self._used)}"
                self._used[name] = weight
            else:  # an attribute that is neither parameter nor buffer
                name = f"constant{len(self._constants)}"
                self._constants[name] = tensor
            self._names[id(tensor)] = (tensor, name)
        return self._names[id(tensor)][1]
