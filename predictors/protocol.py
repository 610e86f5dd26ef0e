"""How to measure, as data: the protocol, the clocks, and what is told about progress."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from predictors.errors import InvalidValueError

MIN_SPEARMAN: Mapping[str, float] = {"eager": 0.98}  # Python in the loop is noisier
OTHER_MIN_SPEARMAN = 0.99


@dataclass(frozen=True, slots=True)
class MeasurementProtocol:
    """How to measure.

    ``passes`` timings of every network after ``warmup`` runs; right before each timing it runs
    ``settle`` times untimed, so that it finds its own weights in the cache, as a network that is
    served alone does. Every timing is one run of every network: averaging a number of runs that
    depends on the network made the same network 1.4 times slower or not, by chance. A share
    ``repeat_fraction`` of the networks is loaded and measured twice. If the campaign does not
    repeat itself with ``min_spearman`` (None: by runtime), it is prolonged by as many passes, up
    to ``rounds`` rounds in all; campaigns of less spread than ``min_spread`` are not judged.

    A round lasts at least ``seconds``, filled with more untimed runs before each timing: the passes
    of a few quick networks would be over in milliseconds, and so within one whim of the machine (a
    busy sibling of the core made a network of 0.026 ms measure 0.052 ms).

    ``memory`` and ``energy`` ask for these too, which costs a process of its own, and half a second, for
    each network.
    """

    warmup: int = 3
    passes: int = 30
    seed: int = 0
    repeat_fraction: float = 0.1
    settle: int = 1
    rounds: int = 2
    seconds: float = 3.0
    min_spearman: float | None = None
    min_spread: float = 1.5
    memory: bool = False
    energy: bool = False

    def __post_init__(self) -> None:
        for field in ("warmup", "passes", "rounds"):
            if getattr(self, field) < 1:
                raise InvalidValueError(f"{field} must be at least 1; got {getattr(self, field)}")
        if self.settle < 0:
            raise InvalidValueError(f"settle must be at least 0; got {self.settle}")
        if not 0 <= self.seconds < math.inf:
            raise InvalidValueError(f"seconds must be finite and at least 0; got {self.seconds}")
        if not 0 <= self.repeat_fraction <= 1:
            raise InvalidValueError(f"repeat_fraction must lie in [0, 1]; got {self.repeat_fraction}")

    def required_spearman(self, runtime: str) -> float:
        """The least self-Spearman that a campaign on this runtime must reach."""
        if self.min_spearman is not None:
            return self.min_spearman
        return MIN_SPEARMAN.get(runtime, OTHER_MIN_SPEARMAN)


@dataclass(frozen=True, slots=True)
class ProfileProgress:
    """``done`` of ``total`` steps: one per network loaded and one per pass."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Clock:
    """Nanoseconds of this process's CPU time and of wall time."""

    cpu_ns: Callable[[], int] = time.process_time_ns
    wall_ns: Callable[[], int] = time.perf_counter_ns


CLOCK = Clock()
Report: TypeAlias = Callable[[ProfileProgress], None]
