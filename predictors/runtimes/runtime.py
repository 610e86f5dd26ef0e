"""The Runtime and Session protocols: ways of running a network on this machine."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from predictors.device import Device

if TYPE_CHECKING:
    from torch import Tensor, nn

Images: TypeAlias = NDArray[np.float32]


class Session(Protocol):
    """One network, loaded and ready to be timed."""

    def run(self) -> None:
        """Run once on the example that the session was loaded with; nothing else happens here."""
        ...

    def outputs(self, images: Images) -> Images:
        """Logits for images of the example's shape (B, C, R, R): for parity checks, not for timing."""
        ...


class Runtime(Protocol):
    """A way of running networks: the library, its version and its settings.

    Laws: ``load(m, x).outputs(x)`` equals ``m(x)`` within 1e-4; ``load`` leaves ``m`` as it was
    and refuses a module in train mode with InvalidValueError; what the runtime cannot run exactly
    raises UnsupportedModelError.
    """

    @property
    def name(self) -> str:
        """Its name in ``predictors.runtimes.registry``."""
        ...

    @property
    def version(self) -> str:
        """Version of the library and of anything else of ours that changes the times."""
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
