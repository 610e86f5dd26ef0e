"""LatencySample: the raw times of one arch on one device, and what else was measured of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from predictors.device import Device
from searchspaces.space import Arch


@dataclass(frozen=True, slots=True)
class Quantities:
    """What was measured of a network besides its times; None: not asked for, or not measurable there.

    ``run_peak_memory_bytes`` is what a process grew by at most from before it loaded the network until
    it had run: not the closed-form ``peak_memory_bytes`` of an arch, which is known without running it.
    ``energy_mj`` is the energy of one run on the whole package or GPU, what idles there included.
    """

    file_size_bytes: int | None = None
    run_peak_memory_bytes: int | None = None
    energy_mj: float | None = None


NOTHING_ELSE = Quantities()
Measured: TypeAlias = Literal["latency_ms", "run_peak_memory_bytes", "energy_mj"]
BESIDES: tuple[Measured, ...] = ("run_peak_memory_bytes", "energy_mj")  # latency: what can be fitted too


@dataclass(frozen=True, slots=True)
class LatencySample:
    """Raw times in the order taken, one per pass: CPU time of the process beside wall time, in ms."""

    arch: Arch
    device: Device
    cpu_ms: tuple[float, ...]
    wall_ms: tuple[float, ...]
    quantities: Quantities = NOTHING_ELSE

    def scaled(self, factor: float) -> LatencySample:
        """The same with all times multiplied: raw times of one campaign on the scale of another."""
        cpu_ms, wall_ms = (tuple(factor * time for time in times) for times in (self.cpu_ms, self.wall_ms))
        return replace(self, cpu_ms=cpu_ms, wall_ms=wall_ms)

    @property
    def latency_ms(self) -> float:
        """Median of the times on the clock of the device."""
        times = self.cpu_ms if self.device.clock == "cpu" else self.wall_ms
        return float(np.median(times))

    def value(self, metric: Measured) -> float | None:
        """What was measured of this metric, in the unit of its name; None if it was not."""
        if metric == "latency_ms":
            return self.latency_ms
        quantities = self.quantities
        return quantities.energy_mj if metric == "energy_mj" else quantities.run_peak_memory_bytes

    @property
    def iqr_ms(self) -> float:
        """Interquartile range of the same times."""
        times = self.cpu_ms if self.device.clock == "cpu" else self.wall_ms
        low, high = np.percentile(times, (25, 75))
        return float(high - low)
