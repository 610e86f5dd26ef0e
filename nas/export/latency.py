"""Times of the shipped files themselves, by the protocol that measures candidates."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from torch import Tensor, nn

from nas.export.formats import ONNX_FILE, PLAIN
from nas.export.manifest import FormatEntry, Manifest
from nas.export.parity import random_images
from nas.export.plain import load_plain
from predictors.device import Device
from predictors.profiler import MeasurementProtocol, profile
from predictors.runtimes.onnx_session import OnnxSession
from predictors.runtimes.registry import get_runtime
from predictors.runtimes.runtime import Runtime, Session
from predictors.sample import LatencySample

# One network: nothing to rank, and so quick that many passes cost little.
PROTOCOL = MeasurementProtocol(warmup=20, passes=100, repeat_fraction=0.0)


class ShippedOnnx:
    """ONNX Runtime on a model file: ``load`` takes the file in place of the module."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._runtime = get_runtime("onnxruntime")

    @property
    def name(self) -> str:
        """As the runtime."""
        return self._runtime.name

    @property
    def version(self) -> str:
        """As the runtime."""
        return self._runtime.version

    @property
    def tolerance(self) -> float:
        """As the runtime."""
        return self._runtime.tolerance

    @property
    def operators(self) -> Collection[str] | None:
        """As the runtime."""
        return self._runtime.operators

    def device(self, name: str | None = None, *, threads: int = 1, batch_size: int = 1) -> Device:
        """As the runtime."""
        return self._runtime.device(name, threads=threads, batch_size=batch_size)

    def load(self, module: nn.Module, example: Tensor, *, threads: int = 1) -> Session:  # noqa: ARG002
        """A session over the file."""
        return OnnxSession(self._file.read_bytes(), example.numpy(), threads=threads)

    def limit_threads(self, threads: int) -> AbstractContextManager[None]:
        """As the runtime."""
        return self._runtime.limit_threads(threads)


def _eager(folder: Path) -> tuple[Runtime, nn.Module]:
    return get_runtime("eager"), load_plain(folder)


def _onnxruntime(folder: Path) -> tuple[Runtime, nn.Module]:
    return ShippedOnnx(folder / ONNX_FILE), nn.Identity()


TIMED: Mapping[str, Callable[[Path], tuple[Runtime, nn.Module]]] = {PLAIN: _eager, "onnx": _onnxruntime}


def measure(
    folder: Path, manifest: Manifest, entry: FormatEntry, protocol: MeasurementProtocol = PROTOCOL
) -> LatencySample:
    """Time the files of a format in TIMED on this machine, on random images.

    Threads and batch size are those of the device in the manifest if it is of the same runtime,
    else one. Raises ExportError, and the errors of ``predictors.profiler.profile``.
    """
    runtime, module = TIMED[entry.name](folder)
    device = runtime.device()
    claimed = manifest.facts.device
    if claimed is not None and claimed.runtime == device.runtime:
        device = runtime.device(threads=claimed.threads, batch_size=entry.batch or claimed.batch_size)
    channels, resolution = manifest.input.channels, manifest.input.resolution
    images = random_images(protocol.seed, channels=channels, resolution=resolution, n=device.batch_size)
    return profile(runtime, device, {manifest.arch.arch: (module, images)}, protocol)[0]
