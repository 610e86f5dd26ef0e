"""Energy of a run from hardware counters, where one can be read; without a counter there is no figure.

Counters know a whole processor package or GPU: what else runs there, and what it draws when idle, is in.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from predictors.device import ACCELERATORS, Device
from predictors.errors import InvalidValueError
from predictors.runtimes.runtime import Session

POWERCAP = Path("/sys/class/powercap")
PACKAGE = "package-"  # other zones are parts of packages, or the whole machine, and would count twice
SECONDS = 0.5  # RAPL counts about once a millisecond
LEAST_RUNS = 5


class EnergyCounter(Protocol):
    """A counter that only grows."""

    def read_mj(self) -> float:
        """Energy in mJ since some moment; raises OSError when it cannot be read any more."""
        ...


class RaplCounter:
    """One package in Linux's powercap tree; follows its counter through one wrap between two readings."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError or ValueError for a zone that cannot be read."""
        self._file = folder / "energy_uj"
        self._range_uj = int((folder / "max_energy_range_uj").read_text())
        self._last_uj = int(self._file.read_text())
        self._total_uj = 0

    def read_mj(self) -> float:
        """Energy in mJ since the counter was opened."""
        now = int(self._file.read_text())
        wrapped_uj = self._range_uj if now < self._last_uj else 0
        self._total_uj += now - self._last_uj + wrapped_uj
        self._last_uj = now
        return self._total_uj / 1e3


class NvmlCounter:
    """The first NVIDIA GPU, through ``pynvml``."""

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        self._handle = nvml.nvmlDeviceGetHandleByIndex(0)

    def read_mj(self) -> float:
        """Energy in mJ since the driver was loaded."""
        try:
            return float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))
        except self._nvml.NVMLError as error:
            raise OSError(f"NVML: {error}") from error


def counters_of(device: Device, *, powercap: Path = POWERCAP) -> list[EnergyCounter]:
    """The counters that see a device of this machine: its GPU, or all processor packages; maybe none."""
    if device.runtime in ACCELERATORS:
        return _gpu()
    found: list[EnergyCounter] = []
    for zone in sorted(powercap.glob("intel-rapl:*")):
        try:
            if (zone / "name").read_text().startswith(PACKAGE):
                found.append(RaplCounter(zone))
        except (OSError, ValueError):  # by default only root may read them
            return []  # a sum without one package would be too small
    return found


def energy_per_run_mj(
    session: Session,
    counters: Sequence[EnergyCounter],
    *,
    seconds: float = SECONDS,
    clock: Callable[[], float] = time.perf_counter,
) -> float | None:
    """Energy of one run: that of many, over at least ``seconds``, by their number.

    None without counters, or if they did not move: a figure is measured or absent.
    """
    if seconds < 0:
        raise InvalidValueError(f"seconds must be at least 0; got {seconds}")
    if not counters:
        return None
    session.run()
    before = sum(counter.read_mj() for counter in counters)
    began, runs = clock(), 0
    while runs < LEAST_RUNS or clock() - began < seconds:
        session.run()
        runs += 1
    used = sum(counter.read_mj() for counter in counters) - before
    return used / runs if used > 0 else None


def _gpu() -> list[EnergyCounter]:
    try:
        nvml = importlib.import_module("pynvml")
    except ModuleNotFoundError:
        return []
    try:
        nvml.nvmlInit()
        counter = NvmlCounter(nvml)
        counter.read_mj()
    except (OSError, nvml.NVMLError):
        return []
    return [counter]
