"""The protocol of measurement: many networks in one process, in shuffled round-robin passes.

CPU time of the process in round-robin order repeats itself at Spearman .995 on a machine with
other work on it, where wall time of one network after the other gives .55 to .96. CPU time is
the latency of a one-thread device only; with more threads wall time is used.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from predictors.campaign import Campaign, joined
from predictors.device import Device
from predictors.errors import InvalidValueError, MeasurementStoppedError, UnsupportedModelError
from predictors.runtimes.runtime import Runtime, Session
from predictors.sample import LatencySample
from searchspaces.space import Arch

if TYPE_CHECKING:
    from torch import Tensor, nn

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


Candidates: TypeAlias = "Mapping[Arch, tuple[nn.Module, Tensor]]"
Report: TypeAlias = Callable[[ProfileProgress], None]


@dataclass(frozen=True, slots=True)
class _Entry:
    """One loaded network."""

    arch: Arch
    session: Session


def profile(
    runtime: Runtime,
    device: Device,
    candidates: Candidates,
    protocol: MeasurementProtocol,
    report: Report | None = None,
    *,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[LatencySample]:
    """Measure and insist that the measurement repeats itself; see ``run_campaign``.

    Raises UnstableMeasurementError, and UnsupportedModelError for a network that cannot run.
    """
    campaign = run_campaign(runtime, device, candidates, protocol, report, should_stop=should_stop)
    for arch, reason in campaign.failures.items():
        raise UnsupportedModelError(f"arch {arch.key} on {runtime.name}: {reason}")
    campaign.require_stable(
        min_spearman=protocol.required_spearman(runtime.name), min_spread=protocol.min_spread
    )
    return list(campaign.samples)


def run_campaign(
    runtime: Runtime,
    device: Device,
    candidates: Candidates,
    protocol: MeasurementProtocol,
    report: Report | None = None,
    *,
    should_stop: Callable[[], bool] = lambda: False,
    clock: Clock = Clock(),
) -> Campaign:
    """Measure extracted networks, each with an example (B, C, R, R) float32, in this process.

    All networks are loaded at once, so that any two are timed under the same conditions. Raises
    MeasurementStoppedError once ``should_stop`` says so; nothing is kept of what was measured.
    """
    progress = _Progress(report, should_stop)
    repeated = _repeated(list(candidates), protocol)
    progress.total = len(candidates) + len(repeated) + protocol.passes * protocol.rounds
    failures: dict[Arch, str] = {}
    entries: list[_Entry] = []
    with runtime.limit_threads(device.threads):
        for arch in [*candidates, *repeated]:
            progress.step()
            module, example = candidates[arch]
            try:
                session = runtime.load(module, example, threads=device.threads)
            except UnsupportedModelError as error:
                failures[arch] = str(error)
                continue
            entries.append(_Entry(arch, session))
        for entry in entries:
            for _ in range(protocol.warmup):
                entry.session.run()
        count = len(candidates) - len(failures)
        samples: tuple[LatencySample, ...] = ()
        for round_ in range(protocol.rounds):
            new = _round(entries, device, protocol, round_, clock, progress)
            samples = joined(samples, new) if samples else tuple(new)
            campaign = Campaign(samples[:count], samples[count:], failures)
            found = campaign.self_spearman
            if found is None or found >= protocol.required_spearman(runtime.name):
                break
    progress.finish()
    return campaign


def _repeated(archs: Sequence[Arch], protocol: MeasurementProtocol) -> list[Arch]:
    """Which archs get a second entry: a random share, rounded up."""
    count = math.ceil(protocol.repeat_fraction * len(archs))
    chosen = np.random.default_rng([protocol.seed, 0]).permutation(len(archs))[:count]
    return [archs[i] for i in sorted(chosen)]


def _round(
    entries: Sequence[_Entry],
    device: Device,
    protocol: MeasurementProtocol,
    round_: int,
    clock: Clock,
    progress: _Progress,
) -> list[LatencySample]:
    """``passes`` timings of every entry, in a new random order in each pass."""
    cpu_ms = np.zeros((len(entries), protocol.passes))
    wall_ms = np.zeros((len(entries), protocol.passes))
    settle_ns = round(protocol.seconds * 1e9 / max(1, cpu_ms.size))
    with _no_collection():
        for index in range(protocol.passes):
            progress.step()
            rng = np.random.default_rng([protocol.seed, 1, round_, index])
            for i in rng.permutation(len(entries)):
                _settle(entries[i].session, protocol.settle, settle_ns, clock)
                cpu_ms[i, index], wall_ms[i, index] = _time(entries[i].session, clock)
    return [
        LatencySample(entry.arch, device, tuple(cpu.tolist()), tuple(wall.tolist()))
        for entry, cpu, wall in zip(entries, cpu_ms, wall_ms, strict=True)
    ]


def _settle(session: Session, runs: int, least_ns: int, clock: Clock) -> None:
    """Untimed runs: at least so many, for at least that long."""
    until = clock.wall_ns() + least_ns if least_ns else 0
    for _ in range(runs):
        session.run()
    while least_ns and clock.wall_ns() < until:
        session.run()


def _time(session: Session, clock: Clock) -> tuple[float, float]:
    """CPU and wall milliseconds of one run."""
    wall, cpu = clock.wall_ns(), clock.cpu_ns()
    session.run()
    cpu, wall = clock.cpu_ns() - cpu, clock.wall_ns() - wall
    return cpu / 1e6, wall / 1e6


@contextmanager
def _no_collection() -> Iterator[None]:
    """Python's garbage collector must not run inside a timing."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@dataclass(slots=True)
class _Progress:
    """Counts steps, reports them and stops the campaign on request."""

    report: Report | None
    should_stop: Callable[[], bool]
    total: int = 0
    done: int = 0

    def step(self) -> None:
        if self.should_stop():
            raise MeasurementStoppedError(f"stopped after {self.done} of {self.total} steps")
        self.done += 1
        self._tell()

    def finish(self) -> None:
        if self.done < self.total:  # a round that was not needed
            self.done = self.total
            self._tell()

    def _tell(self) -> None:
        if self.report is not None:
            self.report(ProfileProgress(self.done, self.total))
