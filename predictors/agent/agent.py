"""The agent's loop: lease a task, download its models, measure, post the raw times, again."""

from __future__ import annotations

import logging
import random
import secrets
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from predictors.agent.lease import Lease
from predictors.agent.server import Server
from predictors.agent.wire import Description, Task, clock_json, result_json
from predictors.campaign import Campaign
from predictors.errors import (
    AgentRefusedError,
    ImplausibleTimesError,
    InvalidValueError,
    MeasurementStoppedError,
    ServerUnreachableError,
    UnsupportedModelError,
)
from predictors.protocol import Report

POLL_S = 2.0  # between questions for a task
REFUSED_S = 30.0  # after a refusal that an operator, or the machine's clock, may end
LONGEST_BACKOFF_S = 30.0
UNAUTHORISED = 401
_log = logging.getLogger(__name__)


class Measure(Protocol):
    """How a task is measured."""

    def __call__(
        self,
        task: Task,
        description: Description,
        file_of: Callable[[str], Path],
        report: Report,
        should_stop: Callable[[], bool],
    ) -> Campaign:
        """The campaign over the task's models, ``file_of`` their SHA-256."""
        ...


@dataclass(frozen=True, slots=True)
class Agent:
    """Works until ``stop`` says so. It only ever calls out: nothing listens on the device."""

    server: Server
    description: Description
    measure: Measure
    stop: Callable[[], bool]
    poll_s: float = POLL_S

    def run(self) -> None:
        """Do tasks one after the other. Raises AgentRefusedError once the server knows no such token."""
        while not self.stop():
            task = self._lease()
            if task is not None:
                self._do(task)
            self._pause(self.poll_s)

    def _lease(self) -> Task | None:
        """The next task; None when there is none, or none for this agent now."""
        body = {"claim_id": secrets.token_hex(16), "device": asdict(self.description)}
        try:
            # the same claim again gives the same lease, so a lost answer loses no task
            answer = self._patiently(
                lambda: self.server.post("/agent/lease", {**body, "clock": clock_json()})
            )
            return None if answer is None else Task.from_json(answer)
        except AgentRefusedError as error:
            if error.status == UNAUTHORISED:
                raise
            _log.warning("no task: %s", error)
        except InvalidValueError as error:
            _log.warning("%s", error)
        except MeasurementStoppedError:
            return None
        self._pause(REFUSED_S)
        return None

    def _do(self, task: Task) -> None:
        lease = Lease(self.server, task, self.stop)
        _log.info("task %s: %d networks", task.id, len(task.candidates))
        try:
            with tempfile.TemporaryDirectory(prefix="nas-agent-") as folder:
                files = self._download(task, Path(folder), lease)
                campaign = self.measure(
                    task, self.description, files.__getitem__, lease.report, lease.should_stop
                )
            self._post(f"/agent/tasks/{task.id}:finish", result_json(campaign, self.description, task.epoch))
            _log.info("task %s: done", task.id)
        except MeasurementStoppedError:
            if not lease.is_lost:
                self._release(task, "the agent was stopped")
        except AgentRefusedError as error:
            _log.warning("task %s: %s", task.id, error)
            if error.status == UNAUTHORISED:
                raise
            self._release(task, f"refused: {error}")
        except (UnsupportedModelError, ImplausibleTimesError, OSError, MemoryError) as error:
            _log.warning("task %s: %s", task.id, error)
            self._release(task, f"{type(error).__name__}: {error}")

    def _download(self, task: Task, folder: Path, lease: Lease) -> dict[str, Path]:
        files: dict[str, Path] = {}
        for digest in dict.fromkeys((*task.candidates, *task.references)):
            if lease.should_stop():
                raise MeasurementStoppedError("stopped while downloading")
            target = folder / f"{len(files)}.onnx"
            self._patiently(partial(self.server.download, digest, target))
            files[digest] = target
        return files

    def _post(self, path: str, body: dict[str, Any]) -> None:
        self._patiently(lambda: self.server.post(path, body))

    def _release(self, task: Task, reason: str) -> None:
        """Give the task back, once: if that does not get through, its lease runs out."""
        try:
            self.server.post(
                f"/agent/tasks/{task.id}:release", {"epoch": task.epoch, "reason": reason[:1000]}
            )
        except (AgentRefusedError, ServerUnreachableError) as error:
            _log.info("task %s is left to its lease: %s", task.id, error)

    def _patiently(self, call: Callable[[], Any]) -> Any:
        """What ``call`` answers, however long the server is away; MeasurementStoppedError when stopped."""
        attempt = 0
        while True:
            try:
                return call()
            except ServerUnreachableError as error:
                attempt += 1
                _log.warning("%s; trying again", error)
            if self.stop():
                raise MeasurementStoppedError("stopped while the server was away")
            longest = min(LONGEST_BACKOFF_S, self.poll_s * 2 ** min(attempt, 10))
            self._pause(random.uniform(self.poll_s / 2, longest))  # agents must not come back all at once

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self.stop() and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 0.2))
