"""The rounds of a measurement: loaded networks, timed in shuffled round-robin passes. Needs no torch."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from predictors.campaign import Campaign, joined
from predictors.device import Device
from predictors.errors import MeasurementStoppedError, UnsupportedModelError
from predictors.plausible import clock_resolution_ms, require_plausible
from predictors.protocol import CLOCK, Clock, MeasurementProtocol, ProfileProgress, Report
from predictors.quantities.file_size import file_size
from predictors.runtimes.runtime import SelfTimed, Session
from predictors.sample import LatencySample, Quantities
from searchspaces.space import Arch

Loaders: TypeAlias = Mapping[Arch, Callable[[], Session]]


@dataclass(frozen=True, slots=True)
class _Entry:
    """One loaded network."""

    arch: Arch
    session: Session

    @property
    def quantities(self) -> Quantities:
        """What is known without running it."""
        return Quantities(file_size_bytes=file_size(self.session))


def measure_sessions(
    loaders: Loaders,
    device: Device,
    protocol: MeasurementProtocol,
    report: Report | None = None,
    *,
    references: Loaders = MappingProxyType({}),
    should_stop: Callable[[], bool] = lambda: False,
    clock: Clock = CLOCK,
) -> Campaign:
    """Measure networks that are loaded by calls; ``references`` run in the same rotation, unjudged.

    All networks are loaded at once, so that any two are timed under the same conditions.
    ``should_stop`` is asked between timings; once it says so, MeasurementStoppedError is raised and
    nothing is kept of what was measured. A reference that cannot run raises UnsupportedModelError,
    times that cannot be true raise ImplausibleTimesError.
    """
    progress = _Progress(report, should_stop)
    repeated = repeated_archs(list(loaders), protocol)
    progress.total = len(loaders) + len(repeated) + len(references) + protocol.passes * protocol.rounds
    failures: dict[Arch, str] = {}
    entries = [
        *_load([*loaders, *repeated], loaders, progress, failures),
        *_load(list(references), references, progress, None),
    ]
    for entry in entries:
        for _ in range(protocol.warmup):
            progress.check()
            entry.session.run()
    count, last = len(loaders) - len(failures), len(entries) - len(references)

    def campaign_of(samples: tuple[LatencySample, ...]) -> Campaign:
        return Campaign(samples[:count], samples[count:last], failures, samples[last:])

    return _rounds(entries, device, protocol, clock, progress, campaign_of)


def _rounds(
    entries: Sequence[_Entry],
    device: Device,
    protocol: MeasurementProtocol,
    clock: Clock,
    progress: _Progress,
    campaign_of: Callable[[tuple[LatencySample, ...]], Campaign],
) -> Campaign:
    """Rounds until the campaign repeats itself well enough, or there have been as many as allowed."""
    samples: tuple[LatencySample, ...] = ()
    for round_ in range(protocol.rounds):
        new = _round(entries, device, protocol, round_, clock, progress)
        samples = joined(samples, new) if samples else tuple(new)
        campaign = campaign_of(samples)
        require_plausible(campaign, resolution_ms=clock_resolution_ms())
        found = campaign.self_spearman
        if found is None or found >= protocol.required_spearman(device.runtime):
            break
    progress.finish()
    return campaign


def _load(
    archs: Sequence[Arch], loaders: Loaders, progress: _Progress, failures: dict[Arch, str] | None
) -> list[_Entry]:
    """The archs that can be loaded; the reasons of the others go into ``failures`` where there is one."""
    entries = []
    for arch in archs:
        progress.step()
        try:
            entries.append(_Entry(arch, loaders[arch]()))
        except UnsupportedModelError as error:
            if failures is None:
                raise
            failures[arch] = str(error)
    return entries


def repeated_archs(archs: Sequence[Arch], protocol: MeasurementProtocol) -> list[Arch]:
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
                progress.check()
                _settle(entries[i].session, protocol.settle, settle_ns, clock)
                cpu_ms[i, index], wall_ms[i, index] = _time(entries[i].session, clock)
    return [
        LatencySample(entry.arch, device, tuple(cpu.tolist()), tuple(wall.tolist()), entry.quantities)
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
    """CPU and wall milliseconds of one run; a session with a clock of its own says the latter itself."""
    wall, cpu = clock.wall_ns(), clock.cpu_ns()
    session.run()
    cpu, wall = clock.cpu_ns() - cpu, clock.wall_ns() - wall
    return cpu / 1e6, session.elapsed_ms if isinstance(session, SelfTimed) else wall / 1e6


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

    def check(self) -> None:
        if self.should_stop():
            raise MeasurementStoppedError(f"stopped after {self.done} of {self.total} steps")

    def step(self) -> None:
        self.check()
        self.done += 1
        self._tell()

    def finish(self) -> None:
        if self.done < self.total:  # a round that was not needed
            self.done = self.total
            self._tell()

    def _tell(self) -> None:
        if self.report is not None:
            self.report(ProfileProgress(self.done, self.total))
