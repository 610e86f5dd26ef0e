"""Measuring the ONNX models of a task with the protocol that every machine of ours uses."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

import onnxruntime

from predictors.agent.wire import CANDIDATES, REFERENCES, Description, Task, numbered
from predictors.campaign import Campaign
from predictors.device import hardware
from predictors.protocol import Report
from predictors.quantities.measured import with_quantities
from predictors.rounds import Loaders, measure_sessions
from predictors.runtimes.onnx_session import OnnxSession, open_model
from predictors.runtimes.runtime import Session

_log = logging.getLogger(__name__)


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

    device = description.device("agent")
    campaign = measure_sessions(
        loaders(CANDIDATES, task.candidates),
        device,
        task.protocol,
        report,
        references=loaders(REFERENCES, task.references),
        should_stop=should_stop,
    )
    networks = {
        arch: partial(_opened, file_of(digest), description.threads)
        for arch, digest in zip(numbered(CANDIDATES, len(task.candidates)), task.candidates, strict=True)
    }
    campaign = with_quantities(campaign, networks, device, task.protocol, report, should_stop=should_stop)
    for note in campaign.notes:
        _log.warning("task %s: %s", task.id, note)
    return campaign


def _open(file: Path, threads: int) -> OnnxSession:
    return open_model(file.read_bytes(), threads=threads)


def _opened(file: Path, threads: int) -> AbstractContextManager[Session]:
    return nullcontext(_open(file, threads))
