"""PyTorch eager on an NVIDIA GPU, timed by CUDA events: in single precision, images already on the GPU.

Not run so far: there was no GPU where this was written. The tests run it over a stand-in for the GPU.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from predictors.device import Device
from predictors.errors import InvalidValueError
from predictors.runtimes.cuda.gpu import Gpu, TorchGpu, single_precision
from predictors.runtimes.eager import limit_torch_threads
from predictors.runtimes.local import local_device
from predictors.runtimes.runtime import SINGLE, Images


class CudaSession:
    """Work on a GPU: ``forward`` reads ``images`` (B, C, R, R) there and returns logits there."""

    def __init__(self, gpu: Gpu, forward: Callable[[], Tensor], images: Tensor) -> None:
        self._gpu = gpu
        self._forward = forward
        self._images = images
        self._example = images.clone()
        self._elapsed_ms = 0.0

    @property
    def elapsed_ms(self) -> float:
        """Milliseconds of the last run on the GPU's own clock."""
        return self._elapsed_ms

    def run(self) -> None:
        """One run on the example, to its end."""
        with torch.inference_mode():
            self._elapsed_ms = self._gpu.timed(self._forward)

    def outputs(self, images: Images) -> Images:
        """Logits for images of the example's shape."""
        with torch.inference_mode(), single_precision():
            self._images.copy_(torch.from_numpy(np.ascontiguousarray(images)))
            logits: Images = self._forward().cpu().numpy().copy()
            self._images.copy_(self._example)
        return logits


class CudaRuntime:
    """Runs a copy of the module on the current CUDA device.

    Raises UnknownRuntimeError where there is none.
    """

    name = "cuda"
    tolerance = SINGLE
    operators = None

    def __init__(self, gpu: Gpu | None = None) -> None:
        self._gpu = TorchGpu() if gpu is None else gpu

    @property
    def version(self) -> str:
        """Versions of torch, of CUDA and of the driver."""
        return f"{torch.__version__}+cuda{torch.version.cuda}+driver{self._gpu.driver}"

    def device(self, name: str | None = None, *, threads: int = 1, batch_size: int = 1) -> Device:
        """The GPU, in the machine that launches its kernels; its driver is part of the version."""
        device = local_device(self.name, self.version, name, threads=threads, batch_size=batch_size)
        return replace(device, hardware=f"{self._gpu.name} in {device.hardware}")

    def load(self, module: nn.Module, example: Tensor, *, threads: int = 1) -> CudaSession:  # noqa: ARG002
        """A copy of the module on the GPU; ``limit_threads`` is what bounds the launching side."""
        if module.training:
            raise InvalidValueError("module is in train mode; call eval() before it is measured")
        placed = copy.deepcopy(module).to(self._gpu.device)
        images = example.clone().to(self._gpu.device)
        with torch.inference_mode(), single_precision():
            return CudaSession(self._gpu, self._work(placed, images), images)

    def _work(self, module: nn.Module, images: Tensor) -> Callable[[], Tensor]:
        """What a session calls."""
        return lambda: module(images)

    @contextmanager
    def limit_threads(self, threads: int) -> Iterator[None]:
        """Torch's threads, and single precision proper on the GPU."""
        with limit_torch_threads(threads), single_precision():
            yield
