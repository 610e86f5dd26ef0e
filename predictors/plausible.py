"""Times that no machine can have taken, wherever they were taken. Needs no torch."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence

import numpy as np

from predictors.campaign import Campaign
from predictors.device import ACCELERATORS
from predictors.errors import ImplausibleTimesError

MIN_MS = 0.001  # a call of a runtime alone takes longer
MAX_MS = 3_600_000.0
TOLERANCE = 1.1  # of CPU time over wall time per thread


def absurdities(
    cpu_ms: Sequence[float], wall_ms: Sequence[float], *, threads: int | None, resolution_ms: float
) -> Iterator[tuple[str, str]]:
    """What cannot be of one network's raw times: pairs (field, what is wrong); field "" for both.

    ``resolution_ms`` is that of the coarser clock; ``threads`` is None where wall time is that of a
    GPU's own clock, which leaves out what the process does around it.
    """
    for field, times in (("cpu_ms", cpu_ms), ("wall_ms", wall_ms)):
        bad = [value for value in times if not (math.isfinite(value) and 0 <= value <= MAX_MS)]
        if bad or not times:
            yield field, f"absurd: {bad[:3] or 'no times'}; times lie in 0..{MAX_MS:g} ms"
            return
    cpu, wall = float(np.median(cpu_ms)), float(np.median(wall_ms))
    if min(cpu, wall) < MIN_MS:
        yield "", f"absurd: a median of {min(cpu, wall):g} ms; at least {MIN_MS:g}"
    if threads is not None and cpu > TOLERANCE * threads * wall + 2 * resolution_ms:
        yield "cpu_ms", f"absurd: {cpu:g} ms of CPU time in {wall:g} ms on {threads:g} threads"


def require_plausible(campaign: Campaign, *, resolution_ms: float) -> None:
    """Raise ImplausibleTimesError, which names the network and the field, for times that cannot be."""
    for kind in ("samples", "repeats", "references"):
        for sample in getattr(campaign, kind):
            device = sample.device
            threads = None if device.runtime in ACCELERATORS else device.threads
            for field, problem in absurdities(
                sample.cpu_ms, sample.wall_ms, threads=threads, resolution_ms=resolution_ms
            ):
                where = " ".join(filter(None, (kind, sample.arch.key, field)))
                raise ImplausibleTimesError(
                    f"{where} on {device.name}: {problem}; nothing of the campaign is stored"
                )


def clock_resolution_ms() -> float:
    """Resolution of the coarser of this process's two clocks."""
    return 1e3 * max(time.get_clock_info(name).resolution for name in ("process_time", "perf_counter"))
