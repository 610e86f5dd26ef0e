"""Opening a network by the name of its runtime: a call that can be pickled into another process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

from predictors.runtimes.registry import get_runtime
from predictors.runtimes.runtime import Runtime, Session

if TYPE_CHECKING:
    from torch import Tensor, nn


@contextmanager
def opened(runtime: str, module: nn.Module, example: Tensor, threads: int) -> Iterator[Session]:
    """A session of the runtime of this name over a network in eval mode and its example (B, C, R, R).

    It runs on ``threads`` threads while the context lasts. Raises as ``Runtime.load`` and ``get_runtime``.
    """
    found = _runtime(runtime)
    with found.limit_threads(threads):
        yield found.load(module, example, threads=threads)


@lru_cache(maxsize=1)
def _runtime(name: str) -> Runtime:
    """One per process: it may remember layers that it has exported."""
    return get_runtime(name)
