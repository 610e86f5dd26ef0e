"""One of several processes that train the same supernet, each on its share of every batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn


def _same_tensor(value: Tensor) -> Tensor:
    return value


def _same_flag(flag: bool) -> bool:
    return flag


def _same_module(module: nn.Module) -> nn.Module:
    return module


@dataclass(frozen=True, slots=True)
class Replica:
    """Process ``rank`` of ``world``, and how it agrees with the others; by default it is alone.

    ``wrap`` makes a module average its gradients over the processes, ``mean`` averages a tensor
    over them, ``agree`` gives all of them the flag of rank 0.
    """

    rank: int = 0
    world: int = 1
    wrap: Callable[[nn.Module], nn.Module] = _same_module
    mean: Callable[[Tensor], Tensor] = _same_tensor
    agree: Callable[[bool], bool] = _same_flag

    def share(self, values: Tensor) -> Tensor:
        """The rows of a batch that this process sees: every ``world``-th one."""
        return values[self.rank :: self.world]
