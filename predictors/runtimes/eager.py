"""PyTorch eager mode on the CPU."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from predictors.device import Device
from predictors.errors import InvalidValueError
from predictors.runtimes.local import local_device
from predictors.runtimes.runtime import SINGLE, Images


class EagerSession:
    """A module and its example, run under ``torch.inference_mode``."""

    def __init__(self, module: nn.Module, example: Tensor) -> None:
        self._module = module
        self._example = example

    def run(self) -> None:
        """One forward pass."""
        with torch.inference_mode():
            self._module(self._example)

    def outputs(self, images: Images) -> Images:
        """Logits for images of any batch size."""
        with torch.inference_mode():
            logits: Tensor = self._module(torch.from_numpy(np.ascontiguousarray(images)))
        return logits.numpy()


class EagerRuntime:
    """Runs the module as it is, from a copy of its weights."""

    name = "eager"
    tolerance = SINGLE
    operators = None

    @property
    def version(self) -> str:
        """Version of torch."""
        return torch.__version__

    def device(self, name: str | None = None, *, threads: int = 1, batch_size: int = 1) -> Device:
        """The local machine under PyTorch eager."""
        return local_device(self.name, self.version, name, threads=threads, batch_size=batch_size)

    def load(self, module: nn.Module, example: Tensor, *, threads: int = 1) -> EagerSession:  # noqa: ARG002
        """A session over a copy of the module; ``limit_threads`` is what bounds eager's threads."""
        if module.training:
            raise InvalidValueError("module is in train mode; call eval() before it is measured")
        return EagerSession(copy.deepcopy(module), example.clone())

    def limit_threads(self, threads: int) -> AbstractContextManager[None]:
        """Torch's threads."""
        return limit_torch_threads(threads)


@contextmanager
def limit_torch_threads(threads: int) -> Iterator[None]:
    """Set torch's intra-op threads, which are process-wide, and restore them."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
