"""The Runtime and Session protocols: ways of running a network on this machine."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from predictors.device import Device

if TYPE_CHECKING:
    from torch import Tensor, nn

Images: TypeAlias = NDArray[np.float32]
SINGLE = 1e-4  # tolerance of a runtime in single precision: other orders of summation, nothing else


class Session(Protocol):
    """One network, loaded and ready to be timed."""

    def run(self) -> None:
        """Run once on the example that the session was loaded with; nothing else happens here."""
        ...

    def outputs(self, images: Images) -> Images:
        """Logits for images of the example's shape (B, C, R, R): for parity checks, not for timing."""
        ...


@runtime_checkable
class SelfTimed(Protocol):
    """A session whose work is done elsewhere, by something with a clock of its own: a GPU."""

    @property
    def elapsed_ms(self) -> float:
        """Duration of the last run by that clock; it takes the place of wall time."""
        ...


class Runtime(Protocol):
    """A way of running networks: the library, its version and its settings.

    Laws: ``load(m, x).outputs(x)`` equals ``m(x)`` within ``tolerance``, as a relative error
    (``predictors.runtimes.agreement``); ``load`` leaves ``m`` as it was and refuses a module in
    train mode with InvalidValueError; what the runtime cannot run that exactly raises
    UnsupportedModelError. While sessions run inside ``limit_threads(n)`` and were loaded with
    ``threads=n``, ``n`` threads do the work.
    """

    @property
    def name(self) -> str:
        """Its name in ``predictors.runtimes.registry``."""
        ...

    @property
    def version(self) -> str:
        """Version of the library and of anything else of ours that changes the times."""
        ...

    @property
    def tolerance(self) -> float:
        """Largest relative error of its logits against PyTorch eager on the CPU."""
        ...

    @property
    def operators(self) -> Collection[str] | None:
        """The aten operators that it can run on what depends on the input; None: all that torch has."""
        ...

    def device(self, name: str | None = None, *, threads: int = 1, batch_size: int = 1) -> Device:
        """The local machine as a device of this runtime; the name defaults to ``HOST-RUNTIME``."""
        ...

    def load(self, module: nn.Module, example: Tensor, *, threads: int = 1) -> Session:
        """Prepare a network in eval mode for inputs like ``example`` (B, C, R, R) float32."""
        ...

    def limit_threads(self, threads: int) -> AbstractContextManager[None]:
        """In force while sessions run; restores what it changed."""
        ...
