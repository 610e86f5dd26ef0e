"""JobContext: all that a job may touch while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from db.records import Job
from service.errors import JobStoppedError
from service.settings import Settings
from service.stores import Stores

REPORT_INTERVAL_S = 0.5


@dataclass(slots=True)
class Reporter:
    """Stores progress at most every REPORT_INTERVAL_S seconds, and whenever a stage begins or ends."""

    store: Callable[[Mapping[str, Any]], None]
    clock: Callable[[], float] = time.monotonic
    _stage: str = ""
    _began: float = 0.0
    _last: float = float("-inf")

    def __call__(self, stage: str, done: int, total: int, **numbers: float | str) -> None:
        """``done`` of ``total`` steps of a stage; ``numbers`` are stored with them.

        Adds ``eta_s``, the seconds that the stage still needs at its pace so far.
        """
        now = self.clock()
        is_new = stage != self._stage
        if is_new:
            self._stage, self._began = stage, now
        if not (is_new or done >= total) and now - self._last < REPORT_INTERVAL_S:
            return
        self._last = now
        data: dict[str, Any] = {"stage": stage, "done": done, "total": total, **numbers}
        elapsed = now - self._began
        if done > 0 and elapsed > 0 and "eta_s" not in numbers:
            data["eta_s"] = round(elapsed / done * max(0, total - done), 1)
        self.store(data)


@dataclass(frozen=True, slots=True)
class JobContext:
    """What a job function gets beside its job. Every store is fenced by the job's epoch."""

    settings: Settings
    stores: Stores
    report: Reporter
    log: Callable[[str], None]
    should_stop: Callable[[], bool]

    def check_stop(self) -> None:
        """Raise JobStoppedError if the job has been asked to stop."""
        if self.should_stop():
            raise JobStoppedError("stopped as asked; what was stored stays")


JobFunction = Callable[[Job, JobContext], Mapping[str, Any]]


@dataclass(slots=True)
class StopFlag:
    """Set by a signal, read by the job."""

    is_set: bool = field(default=False)

    def set(self, *_: object) -> None:
        """Ask the job to stop; takes a signal handler's arguments."""
        self.is_set = True

    def __call__(self) -> bool:
        """Whether the job is to stop."""
        return self.is_set
