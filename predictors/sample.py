"""LatencySample: the raw times of one arch on one device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from predictors.device import Device
from searchspaces.space import Arch


@dataclass(frozen=True, slots=True)
class LatencySample:
    """Raw times in the order taken, one per pass: CPU time of the process beside wall time, in ms."""

    arch: Arch
    device: Device
    cpu_ms: tuple[float, ...]
    wall_ms: tuple[float, ...]

    def scaled(self, factor: float) -> LatencySample:
        """The same with all times multiplied: raw times of one campaign on the scale of another."""
        cpu_ms, wall_ms = (tuple(factor * time for time in times) for times in (self.cpu_ms, self.wall_ms))
        return LatencySample(self.arch, self.device, cpu_ms, wall_ms)

    @property
    def latency_ms(self) -> float:
        """Median CPU time on a one-thread device, median wall time on any other."""
        times = self.cpu_ms if self.device.threads == 1 else self.wall_ms
        return float(np.median(times))

    @property
    def iqr_ms(self) -> float:
        """Interquartile range of the same times."""
        times = self.cpu_ms if self.device.threads == 1 else self.wall_ms
        low, high = np.percentile(times, (25, 75))
        return float(high - low)
