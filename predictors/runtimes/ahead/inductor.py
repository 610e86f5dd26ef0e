"""AOTInductor: networks compiled to C++ before they are measured.

``torch.compile`` would make the same kernels, but it compiles inside the first call, checks guards in
Python on every call and keeps its result for one process. Ahead of time, a run is one call of a
shared library, and the library is kept in a folder: the second of a pair of repeated measurements, and the
same subnet in a later job, are not compiled again.

Compiling is what costs: 58 s of CPU time for one subnet of ``hybrid-tiny``, most of it in the C++
compiler, where an export to ONNX takes 0.4 s. Ten to twenty subnets are sensible: measure another
runtime with many, and this one with ``--samples 10``, which are then chosen. A measurement's progress
counts each network as it is loaded, and every compilation is logged with its time.
"""

from __future__ import annotations

import copy
import hashlib
import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch._inductor import aoti_compile_and_package, aoti_load_package
from torch.export import ExportedProgram

from predictors.device import Device, hardware
from predictors.errors import InvalidValueError, UnknownRuntimeError, UnsupportedModelError
from predictors.runtimes.ahead.package_cache import PackageCache, default_folder
from predictors.runtimes.ahead.quiet import quiet
from predictors.runtimes.eager import limit_torch_threads
from predictors.runtimes.local import local_device
from predictors.runtimes.requirements import missing
from predictors.runtimes.runtime import SINGLE, Images

SETTINGS = 1  # raised whenever we have inductor compile to code of another speed
_log = logging.getLogger(__name__)


class InductorSession:
    """A compiled network and its example."""

    def __init__(self, compiled: Callable[[Tensor], Tensor], example: Tensor, file_size_bytes: int) -> None:
        self.file_size_bytes = file_size_bytes
        self._compiled = compiled
        self._example = example

    def run(self) -> None:
        """One call of the library."""
        with torch.inference_mode():
            self._compiled(self._example)

    def outputs(self, images: Images) -> Images:
        """Logits for images of the example's shape."""
        with torch.inference_mode():
            return self._compiled(torch.from_numpy(np.ascontiguousarray(images))).numpy()


class InductorRuntime:
    """Compiles modules with the machine's C++ compiler, once each: ``folder`` keeps what was compiled.

    Raises UnknownRuntimeError where there is no C++ compiler.
    """

    name = "inductor"
    tolerance = SINGLE
    operators = None

    def __init__(self, folder: Path | None = None) -> None:
        problem = missing(self.name)
        if problem is not None:
            raise UnknownRuntimeError(problem)
        self._cache = PackageCache(default_folder() if folder is None else folder)

    @property
    def version(self) -> str:
        """Version of torch and of our settings of its compiler."""
        return f"{torch.__version__}+aoti{SETTINGS}"

    def device(self, name: str | None = None, *, threads: int = 1, batch_size: int = 1) -> Device:
        """The local machine under AOTInductor."""
        return local_device(self.name, self.version, name, threads=threads, batch_size=batch_size)

    def load(self, module: nn.Module, example: Tensor, *, threads: int = 1) -> InductorSession:
        """Compile, unless that was done before, and load; the code is compiled for this many threads.

        Raises UnsupportedModelError with the compiler's words for what cannot be compiled.
        """
        if module.training:
            raise InvalidValueError("module is in train mode; call eval() before it is compiled")
        with quiet():
            program = _exported(module, example)
            key = _key(program, self.version, threads)
            path = self._cache.get(key, lambda file: _compile(program, file, threads))
            return InductorSession(aoti_load_package(str(path)), example.clone(), path.stat().st_size)

    def limit_threads(self, threads: int) -> AbstractContextManager[None]:
        """Torch's threads, for the kernels that are called and not compiled."""
        return limit_torch_threads(threads)


def _exported(module: nn.Module, example: Tensor) -> ExportedProgram:
    with torch.no_grad():
        try:
            return torch.export.export(copy.deepcopy(module), (example.clone(),))
        except (RuntimeError, ValueError, TypeError) as error:
            raise UnsupportedModelError(f"torch.export: {_first_line(error)}") from error


def _compile(program: ExportedProgram, path: Path, threads: int) -> None:
    """Write the package. One compiling process at a time: others would disturb what is being measured."""
    settings = {"cpp.threads": threads, "compile_threads": 1}
    started = time.perf_counter()
    with torch.no_grad():
        try:
            aoti_compile_and_package(program, package_path=str(path), inductor_configs=settings)
        except RuntimeError as error:
            raise UnsupportedModelError(f"inductor: {_first_line(error)}") from error
    _log.info("compiled a network in %.0f s", time.perf_counter() - started)


def _key(program: ExportedProgram, version: str, threads: int) -> str:
    """SHA-256 over all that decides the library: operators, shapes, weights, torch, processor, threads."""
    digest = hashlib.sha256(repr((version, hardware(), threads, str(program.graph))).encode())
    for name, tensor in sorted({**program.state_dict, **program.constants}.items()):
        digest.update(repr((name, tuple(tensor.shape), str(tensor.dtype))).encode())
        digest.update(tensor.detach().contiguous().numpy().tobytes())
    for node in program.graph.nodes:
        digest.update(repr(_shape(node.meta.get("val"))).encode())
    return digest.hexdigest()


def _shape(value: object) -> object:
    if isinstance(value, Tensor):
        return tuple(value.shape)
    return tuple(_shape(item) for item in value) if isinstance(value, list | tuple) else None


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"[:500]
