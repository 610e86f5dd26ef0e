"""Measuring the ONNX models of a task with the protocol that every machine of ours uses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import onnxruntime

from predictors.agent.wire import CANDIDATES, REFERENCES, Description, Task, numbered
from predictors.campaign import Campaign
from predictors.device import hardware
from predictors.protocol import Report
from predictors.rounds import Loaders, measure_sessions
from predictors.runtimes.onnx_session import OnnxSession, open_model


def describe(threads: int = 1) -> Description:
    """The local machine under ONNX Runtime's CPU provider."""
    return Description(hardware(), "onnxruntime", onnxruntime.__version__, threads)


def measure(
    task: Task,
    description: Description,
    file_of: Callable[[str], Path],
    report: Report,
    should_stop: Callable[[], bool],
) -> Campaign:
    """Time the task's models, ``file_of`` their SHA-256, in this process.

    Raises MeasurementStoppedError, and UnsupportedModelError when a reference cannot run.
    """

    def loaders(space: str, digests: Sequence[str]) -> Loaders:
        archs = numbered(space, len(digests))
        return {
            arch: partial(_open, file_of(digest), description.threads)
            for arch, digest in zip(archs, digests, strict=True)
        }

    return measure_sessions(
        loaders(CANDIDATES, task.candidates),
        description.device("agent"),
        task.protocol,
        report,
        references=loaders(REFERENCES, task.references),
        should_stop=should_stop,
    )


def _open(file: Path, threads: int) -> OnnxSession:
    return open_model(file.read_bytes(), threads=threads)
