"""What is asked of an NVIDIA GPU, behind a protocol, so that the rest is tested without one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from predictors.errors import UnknownRuntimeError, UnsupportedModelError
from predictors.runtimes.requirements import missing

DRIVER_FILE = Path("/proc/driver/nvidia/version")
WARM_UP = 3  # runs before a capture: libraries choose their algorithms and allocate in the first ones


class Gpu(Protocol):
    """One GPU. Tensors live on ``device``."""

    @property
    def device(self) -> torch.device:
        """Where modules and images are put."""
        ...

    @property
    def name(self) -> str:
        """The model of the GPU, as its driver calls it."""
        ...

    @property
    def driver(self) -> str:
        """Version of the driver."""
        ...

    def timed(self, work: Callable[[], object]) -> float:
        """Milliseconds that the GPU took for what ``work`` launches; returns once that is finished."""
        ...

    def captured(self, work: Callable[[], Tensor]) -> tuple[Callable[[], object], Tensor]:
        """What ``work`` launches as one graph: a call that replays it, and the tensor that it fills.

        Raises UnsupportedModelError if ``work`` cannot be captured, because it waits for the GPU, say.
        """
        ...


class TorchGpu:
    """The current CUDA device of torch.

    Raises UnknownRuntimeError, which says what is missing, where there is none.
    """

    def __init__(self) -> None:
        problem = missing("cuda")
        if problem is None and not torch.cuda.is_available():
            problem = f"runtime 'cuda' needs CUDA, and torch {torch.__version__} finds no usable GPU here"
        if problem is not None:
            raise UnknownRuntimeError(problem)
        self.device = torch.device("cuda", torch.cuda.current_device())
        self.name: str = torch.cuda.get_device_name(self.device)
        self.driver = driver_version(DRIVER_FILE.read_text())

    def timed(self, work: Callable[[], object]) -> float:
        """Between two CUDA events around the work."""
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        work()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end))

    def captured(self, work: Callable[[], Tensor]) -> tuple[Callable[[], object], Tensor]:
        """A CUDA graph, captured after warming up on a stream of its own, as torch asks for."""
        stream = torch.cuda.Stream(self.device)
        stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                work()
        torch.cuda.current_stream(self.device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                filled = work()
        except RuntimeError as error:
            raise UnsupportedModelError(f"cannot be captured as a CUDA graph: {str(error)[:500]}") from error
        return graph.replay, filled


def driver_version(text: str) -> str:
    """The version in what the Linux driver says of itself in DRIVER_FILE.

    Raises UnknownRuntimeError if there is none: without it, times of two drivers would be mixed.
    """
    match = re.search(r"Kernel Module.*?\s(\d+(?:\.\d+)+)", text)
    if match is None:
        raise UnknownRuntimeError(f"{DRIVER_FILE} names no driver version: {text[:100]!r}")
    return match[1]


@contextmanager
def single_precision() -> Iterator[None]:
    """No TF32, which has ten bits of mantissa and is what convolutions use by default."""
    matmul: Any = torch.backends.cuda.matmul  # torch declares no types for the settings
    conv: Any = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    before = (matmul.fp32_precision, conv.fp32_precision)
    matmul.fp32_precision = conv.fp32_precision = "ieee"
    try:
        yield
    finally:
        matmul.fp32_precision, conv.fp32_precision = before
