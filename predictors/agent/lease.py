"""A leased task while it is worked on: heartbeats between timings, and what became of the lease."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from predictors.agent.server import Server
from predictors.agent.wire import Task
from predictors.errors import AgentRefusedError, ServerUnreachableError
from predictors.protocol import ProfileProgress

NOTHING_YET = ProfileProgress(0, 0)
BEATS = 4  # in the life of a lease
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Lease:
    """Renews itself when asked ``should_stop``, never from a thread: CPU time of the process is the clock."""

    server: Server
    task: Task
    stop: Callable[[], bool]
    clock: Callable[[], float] = time.monotonic
    progress: ProfileProgress = NOTHING_YET
    is_lost: bool = False
    _next: float = 0.0

    def __post_init__(self) -> None:
        self._next = self.clock() + self.task.ttl_s / BEATS

    def report(self, progress: ProfileProgress) -> None:
        """Remember how far the measurement is, for the next heartbeat."""
        self.progress = progress

    def should_stop(self) -> bool:
        """Whether the agent is to stop or has lost the task. A server that is away costs nothing yet:
        it takes the result late if nobody else has taken the task.
        """
        if self.is_lost or self.stop():
            return True
        if self.clock() >= self._next:
            self._beat()
            self._next = self.clock() + self.task.ttl_s / BEATS
        return self.is_lost

    def _beat(self) -> None:
        body = {"epoch": self.task.epoch, "done": self.progress.done, "total": self.progress.total}
        try:
            self.server.post(f"/agent/tasks/{self.task.id}:heartbeat", body)
        except ServerUnreachableError as error:
            _log.warning("no heartbeat: %s", error)
        except AgentRefusedError as error:
            _log.warning("task %s is lost: %s", self.task.id, error)
            self.is_lost = True
