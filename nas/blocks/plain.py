"""PlainCall: how to construct a plain module, as data.

A *plain* module is what a subnet's layer becomes when it stands alone: an ``nn.Module`` of
fixed sizes that needs nothing but torch. The supernet runs the same classes on slices of its
weights, so the arithmetic of every block is written once.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import torch
from torch import nn

Argument: TypeAlias = int | float | bool | str


@dataclass(frozen=True, slots=True)
class PlainCall:
    """``cls(**dict(arguments))``, hashable."""

    cls: type[nn.Module]
    arguments: tuple[tuple[str, Argument], ...]

    @property
    def kwargs(self) -> dict[str, Argument]:
        """The keyword arguments of the constructor."""
        return dict(self.arguments)

    def build(self) -> nn.Module:
        """A new module with its default initialisation."""
        return self.cls(**self.kwargs)


def plain_call(cls: type[nn.Module], **kwargs: Argument) -> PlainCall:
    """A PlainCall from keyword arguments."""
    return PlainCall(cls, tuple(kwargs.items()))


def template(call: PlainCall, *, training: bool) -> nn.Module:
    """A weightless (meta) instance to run with ``torch.func.functional_call``.

    ``functional_call`` swaps attributes while it runs, so each thread has its own instance.
    """
    return _template((call, training, threading.get_ident()))


@lru_cache(maxsize=4096)
def _template(key: tuple[PlainCall, bool, int]) -> nn.Module:
    call, training, _ = key
    with torch.device("meta"):
        return call.build().train(training)


@lru_cache(maxsize=4096)
def shapes(call: PlainCall) -> Mapping[str, torch.Size]:
    """Name to shape of the module's parameters and buffers."""
    with torch.device("meta"):
        return {name: tensor.shape for name, tensor in call.build().state_dict().items()}
