"""ExecuTorch on the CPU: what XNNPACK takes is delegated to it, the rest runs on portable kernels.

The portable kernels are plain loops, so how much of a network is delegated decides its speed: every
session says it (``ExecuTorchSession.delegation``). Lowering took 28 s of CPU time for one subnet of
``hybrid-tiny``: ten to twenty subnets are sensible, as for ``inductor``.
"""

from __future__ import annotations

import copy
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version as installed_version
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._export.verifier import SpecViolationError

from predictors.device import Device
from predictors.errors import InvalidValueError, UnsupportedModelError
from predictors.runtimes.agreement import require_agreement
from predictors.runtimes.ahead.quiet import quiet
from predictors.runtimes.local import local_device
from predictors.runtimes.runtime import SINGLE, Images

with quiet():
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import ExecutorchProgramManager, to_edge_transform_and_lower
    from executorch.exir.error import ExportError, InternalError
    from executorch.exir.lowered_backend_module import executorch_call_delegate
    from executorch.extension.pybindings import portable_lib

SETTINGS = 1  # raised whenever we lower to programs of another speed
REFUSALS: tuple[type[Exception], ...] = (  # what lowering, loading and the first run raise
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    SpecViolationError,
    ExportError,
    InternalError,
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Delegation:
    """How many operators of a network XNNPACK took, and how often each other one is left."""

    delegated: int
    portable: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        left = ", ".join(f"{n} {name}" for name, n in self.portable.items()) or "none"
        return f"{self.delegated} operators delegated to XNNPACK; on portable kernels: {left}"


class ExecuTorchSession:
    """A loaded program and its example. It dies with the thread pool that it was loaded under."""

    def __init__(self, program: bytes, example: Tensor, delegation: Delegation) -> None:
        self.delegation = delegation
        self.file_size_bytes = len(program)
        self._program = program  # the module does not copy it
        self._module = portable_lib._load_for_executorch_from_buffer(program)
        self._example = (example.contiguous(),)
        self._pool = _pool.generation

    def run(self) -> None:
        """One run on the example."""
        self._require_pool()
        self._module.forward(self._example)

    def outputs(self, images: Images) -> Images:
        """Logits for images of the example's shape."""
        self._require_pool()
        (logits,) = self._module.forward((torch.from_numpy(np.ascontiguousarray(images)),))
        result: Images = logits.numpy()
        return result

    def _require_pool(self) -> None:
        """XNNPACK holds the pool by address."""
        if self._pool != _pool.generation:
            raise InvalidValueError("threads were changed since this network was loaded; load it again")


class ExecuTorchRuntime:
    """Lowers modules for XNNPACK and runs them in this process."""

    name = "executorch"
    tolerance = SINGLE

    @property
    def version(self) -> str:
        """Version of executorch, of the torch that traced, and of our settings."""
        return f"{installed_version('executorch')}+torch{torch.__version__}+xnnpack{SETTINGS}"

    @property
    def operators(self) -> frozenset[str]:
        """The portable kernels; XNNPACK takes a subset of these in larger pieces."""
        return frozenset(str(name).replace("::", ".") for name in portable_lib._get_operator_names())

    def device(self, name: str | None = None, *, threads: int = 1, batch_size: int = 1) -> Device:
        """The local machine under ExecuTorch."""
        return local_device(self.name, self.version, name, threads=threads, batch_size=batch_size)

    def load(self, module: nn.Module, example: Tensor, *, threads: int = 1) -> ExecuTorchSession:  # noqa: ARG002
        """Trace, lower, load and compare with eager; ``limit_threads`` is what bounds the threads.

        Raises UnsupportedModelError for an operator without a kernel, and for other logits than eager's.
        """
        if module.training:
            raise InvalidValueError("module is in train mode; call eval() before it is lowered")
        try:
            with quiet():
                session = _lowered(module, example)
                session.run()
        except REFUSALS as error:
            words = " ".join(str(error).split())[:500]
            raise UnsupportedModelError(f"executorch: {type(error).__name__}: {words}") from error
        require_agreement(session, module, example.numpy(), tolerance=SINGLE, runtime=self.name)
        _log.info("executorch: %s", session.delegation)
        return session

    @contextmanager
    def limit_threads(self, threads: int) -> Iterator[None]:
        """Resize ExecuTorch's thread pool, which is process-wide, and restore it.

        Sessions run only under the pool that they were loaded under.
        """
        before = portable_lib._threadpool_get_thread_count()
        _pool.resize(threads)
        try:
            yield
        finally:
            _pool.resize(before)


@dataclass(slots=True)
class _Pool:
    """Which thread pool of the process it is: resizing makes another one."""

    generation: int = 0

    def resize(self, threads: int) -> None:
        """Another pool, unless this one has that many threads."""
        if portable_lib._threadpool_get_thread_count() != threads:
            portable_lib._unsafe_reset_threadpool(threads)
            self.generation += 1


_pool = _Pool()


def _lowered(module: nn.Module, example: Tensor) -> ExecuTorchSession:
    with torch.no_grad():
        traced = torch.export.export(copy.deepcopy(module), (example.clone(),))
        edge = to_edge_transform_and_lower(traced, partitioner=[XnnpackPartitioner()])
        delegation = _delegation(edge.exported_program().graph_module)
        program: ExecutorchProgramManager = edge.to_executorch()
    return ExecuTorchSession(program.buffer, example.clone(), delegation)


def _delegation(graph: torch.fx.GraphModule) -> Delegation:
    """What of a lowered graph is in delegates and what is not."""
    delegated, portable = 0, Counter[str]()
    for node in graph.graph.nodes:
        if node.op != "call_function":
            continue
        if node.target is executorch_call_delegate:
            lowered: Any = graph.get_submodule(str(node.args[0].target))
            inner = lowered.original_module.graph_module.graph.nodes
            delegated += sum(inside.op == "call_function" for inside in inner)
        elif "getitem" not in str(node.target):
            portable[getattr(node.target, "__name__", str(node.target))] += 1
    return Delegation(delegated, dict(portable))
