"""An agent whose times are made up: the real one but for the measuring, as the environment says."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from predictors.agent.__main__ import main
from predictors.agent.wire import CANDIDATES, REFERENCES, Description, Task, numbered
from predictors.campaign import Campaign
from predictors.errors import MeasurementStoppedError
from predictors.protocol import ProfileProgress, Report
from predictors.rounds import repeated_archs
from predictors.sample import LatencySample

SECONDS = float(os.environ.get("FAKE_SECONDS", "0"))  # that a measurement takes
SLOWER = float(os.environ.get("FAKE_SLOWER", "1"))  # factor on all times
REPEATS = float(os.environ.get("FAKE_REPEATS", "1"))  # factor on times of second measurements


def fake_ms(number: int) -> float:
    return 0.01 * (1 + number)


def measure(
    task: Task,
    description: Description,
    file_of: Callable[[str], Path],
    report: Report,
    should_stop: Callable[[], bool],
) -> Campaign:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        report(ProfileProgress(1, 10))
        if should_stop():
            raise MeasurementStoppedError("stopped")
        time.sleep(0.05)
    assert all(file_of(digest).stat().st_size > 0 for digest in (*task.candidates, *task.references))
    archs = numbered(CANDIDATES, len(task.candidates))
    device = description.device("agent")

    def samples(of: list, factor: float) -> tuple[LatencySample, ...]:  # type: ignore[type-arg]
        return tuple(
            LatencySample(
                arch,
                device,
                (SLOWER * factor * fake_ms(arch.genes[0]),) * task.protocol.passes,
                (SLOWER * factor * fake_ms(arch.genes[0]),) * task.protocol.passes,
            )
            for arch in of
        )

    return Campaign(
        samples(archs, 1.0),
        samples(repeated_archs(archs, task.protocol), REPEATS),
        {},
        samples(numbered(REFERENCES, len(task.references)), 1.0),
    )


if __name__ == "__main__":
    sys.exit(main(measure=measure))
