"""What agent and server say to each other, as plain data: who the device is, tasks, results."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from predictors.campaign import Campaign
from predictors.device import Device
from predictors.errors import InvalidValueError
from predictors.protocol import MeasurementProtocol
from predictors.sample import LatencySample
from searchspaces.space import Arch

CANDIDATES, REFERENCES = "candidate@1", "reference@1"  # stand for spaces: the agent knows networks by number


@dataclass(frozen=True, slots=True)
class Description:
    """What a machine says of itself. ``runtime_version`` is the library's alone."""

    hardware: str
    runtime: str
    runtime_version: str
    threads: int = 1
    precision: str = "fp32"
    batch_size: int = 1

    def device(self, name: str) -> Device:
        """The device under which the machine measures; its name is the agent's."""
        return Device(name=name, **asdict(self))


@dataclass(frozen=True, slots=True)
class Task:
    """One leased task: ONNX models by SHA-256, and how to measure them.

    The lease holds for ``ttl_s`` seconds after each heartbeat; ``epoch`` must accompany every call.
    """

    id: str
    epoch: int
    ttl_s: float
    protocol: MeasurementProtocol
    candidates: tuple[str, ...]
    references: tuple[str, ...]

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Task:
        """The task of a JSON document; raises InvalidValueError for one that this version cannot do."""
        try:
            return cls(
                id=str(document["id"]),
                epoch=int(document["epoch"]),
                ttl_s=float(document["ttl_s"]),
                protocol=MeasurementProtocol(**document["protocol"]),
                candidates=tuple(map(str, document["candidates"])),
                references=tuple(map(str, document["references"])),
            )
        except (KeyError, TypeError) as error:
            raise InvalidValueError(f"task: this agent does not understand it ({error}); update it") from None


def numbered(space: str, count: int) -> list[Arch]:
    """Archs that stand for ``count`` networks of a task by their number."""
    return [Arch(space, (number,)) for number in range(count)]


def result_json(campaign: Campaign, description: Description, epoch: int) -> dict[str, Any]:
    """A campaign over ``numbered`` archs as a JSON document, with the clocks that took its times."""
    return {
        "epoch": epoch,
        "device": asdict(description),
        "clock": clock_json(),
        "samples": _samples_json(campaign.samples),
        "repeats": _samples_json(campaign.repeats),
        "references": _samples_json(campaign.references),
        "failures": [
            {"index": arch.genes[0], "reason": reason[:1000]} for arch, reason in campaign.failures.items()
        ],
    }


def clock_json() -> dict[str, float]:
    """The date in seconds since 1970, and the resolution of the clocks in ns."""
    return {
        "sent_at": time.time(),
        "cpu_resolution_ns": time.get_clock_info("process_time").resolution * 1e9,
        "wall_resolution_ns": time.get_clock_info("perf_counter").resolution * 1e9,
    }


def _samples_json(samples: Sequence[LatencySample]) -> list[dict[str, Any]]:
    return [
        {
            "index": sample.arch.genes[0],
            "cpu_ms": list(sample.cpu_ms),
            "wall_ms": list(sample.wall_ms),
            "quantities": asdict(sample.quantities),
        }
        for sample in samples
    ]
