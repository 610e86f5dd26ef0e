"""Fakes for the profiler: a clock that only moves when a fake network runs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from predictors.device import Device
from predictors.errors import UnsupportedModelError
from predictors.profiler import Clock
from predictors.runtimes.runtime import Images
from searchspaces.registry import get_space
from searchspaces.space import Arch

MS = 1_000_000
SPACE = get_space("hybrid-tiny")
DEVICE = Device("fake", "none", "fake", "1")


class FakeNet(nn.Module):
    """A network that takes ``ms(run)`` of CPU time in its run number ``run``, over all its sessions."""

    def __init__(self, ms: Callable[[int], float]) -> None:
        super().__init__()
        self.ms = ms
        self.runs = 0


@dataclass
class FakeTime:
    cpu: int = 0
    wall: int = 0

    @property
    def clock(self) -> Clock:
        return Clock(cpu_ns=lambda: self.cpu, wall_ns=lambda: self.wall)


@dataclass
class FakeSession:
    net: FakeNet
    time: FakeTime
    wall_over_cpu: float
    log: list[FakeNet]

    def run(self) -> None:
        spent = self.net.ms(self.net.runs) * MS
        self.net.runs += 1
        self.time.cpu += int(spent)
        self.time.wall += int(spent * self.wall_over_cpu)
        self.log.append(self.net)

    def outputs(self, images: Images) -> Images:
        return images


@dataclass
class FakeRuntime:
    """Runs FakeNets on a fake clock; refuses every other module."""

    wall_over_cpu: float = 1.0
    time: FakeTime = field(default_factory=FakeTime)
    log: list[FakeNet] = field(default_factory=list)
    name: str = "fake"
    version: str = "1"

    def device(self, name: str | None = None, *, threads: int = 1, batch_size: int = 1) -> Device:
        return DEVICE

    def load(self, module: nn.Module, example: Tensor, *, threads: int = 1) -> FakeSession:
        if not isinstance(module, FakeNet):
            raise UnsupportedModelError("not a fake")
        return FakeSession(module, self.time, self.wall_over_cpu, self.log)

    def limit_threads(self, threads: int) -> AbstractContextManager[None]:
        return nullcontext()


def archs(n: int) -> list[Arch]:
    return [arch for arch, _ in zip(SPACE.archs(), range(n), strict=False)]


def candidates(times: list[Callable[[int], float]]) -> dict[Arch, Any]:
    return {arch: (FakeNet(ms), torch.zeros(1)) for arch, ms in zip(archs(len(times)), times, strict=True)}


def steady(ms: float) -> Callable[[int], float]:
    return lambda run: ms
