"""Worker: claims jobs by lease, has each done by a runner process. ``python -m service.worker``.

One job at a time on a machine, whatever servers its workers belong to: latency is never measured
beside other work of ours. The worker itself only renews the lease, forwards requests to stop, and
gives a job back when its runner died.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from db.backend.file_lock import FileLock
from db.errors import DatabaseBusyError, DatabaseUnavailableError, LeaseLostError
from db.ids import new_id
from db.jobs import JobStore
from db.records import Job, JobState
from service.errors import SettingsError
from service.jobs.context import StopFlag
from service.runner import PARENT_VARIABLE, STOPPED, die_with_parent
from service.settings import Settings, load_settings
from service.stores import open_database

# OpenMP threads that spin while they wait starve each other when anything else runs: training on
# two threads of a busy two-core machine was twelve times slower than with threads that sleep.
PATIENT_THREADS = {"OMP_WAIT_POLICY": "passive"}
TAIL_BYTES = 4000
WAITS = 3  # attempts without the machine before the log says so; an idle worker has it for a moment only
_log = logging.getLogger(__name__)


class Worker:
    """Claims and supervises jobs until ``stop`` is set."""

    def __init__(self, settings: Settings, jobs: JobStore, stop: Callable[[], bool]) -> None:
        self.settings = settings
        self.jobs = jobs
        self.stop = stop
        self.machine = machine_lock(settings.machine_lock)
        # A new name for every process: a restarted worker must not look like its dead predecessor.
        self.name = f"{platform.node()[:40] or 'worker'}-{os.getpid()}-{new_id()[-8:]}"

    def run(self) -> None:
        """Do jobs, oldest first, each while no other worker of this machine does one."""
        _log.info("worker %s waits for jobs", self.name)
        refused = 0
        while not self.stop():
            with self.machine.attempt() as is_free:  # before a claim: no lease runs out meanwhile
                job = self._claim() if is_free else None
                if job is not None:
                    self.do(job)
            refused = 0 if is_free else refused + 1
            if refused == WAITS:
                _log.info("another worker of this machine does a job (%s); waiting", self.machine.path)
            time.sleep(self.settings.poll_s)  # after a job too: then others of this machine get their turn
        _log.info("worker %s stopped", self.name)

    def do(self, job: Job) -> None:
        """Have one claimed job done."""
        _log.info("job %s (%s), attempt %d", job.id, job.kind, job.attempts)
        log_file = self.settings.folder / "logs" / f"{job.id}.log"
        log_file.parent.mkdir(parents=True, exist_ok=True)
        with log_file.open("ab") as log:
            runner = subprocess.Popen(
                [sys.executable, "-m", self.settings.runner, job.id, "--epoch", str(job.epoch)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={
                    **PATIENT_THREADS,
                    **self.settings.environment(),
                    PARENT_VARIABLE: str(os.getpid()),
                },
                start_new_session=True,
            )
            try:
                self._supervise(job, runner)
            except LeaseLostError as error:
                _log.warning("%s", error)
                return
            finally:
                _kill(runner)
        self._settle(job, runner.returncode, log_file)

    def _claim(self) -> Job | None:
        try:
            return self.jobs.claim(self.name, ttl_s=self.settings.lease_ttl_s)
        except (DatabaseBusyError, DatabaseUnavailableError) as error:
            _log.warning("cannot claim: %s", error)
            return None

    def _supervise(self, job: Job, runner: subprocess.Popen[bytes]) -> None:
        """Until the runner ends: renew the lease, and pass requests to stop on, by force after a grace."""
        next_beat = time.monotonic()
        kill_at: float | None = None
        while runner.poll() is None:
            now = time.monotonic()
            if kill_at is None and (self.stop() or self._is_cancelling(job)):
                runner.send_signal(signal.SIGINT)
                kill_at = now + self.settings.cancel_grace_s
            if kill_at is not None and now >= kill_at:
                _log.warning("job %s did not stop within %g s", job.id, self.settings.cancel_grace_s)
                return
            if now >= next_beat and self._beat(job):
                next_beat = now + self.settings.heartbeat_s
            try:
                runner.wait(self.settings.poll_s)
            except subprocess.TimeoutExpired:
                continue

    def _beat(self, job: Job) -> bool:
        try:
            self.jobs.heartbeat(job.id, job.epoch, ttl_s=self.settings.lease_ttl_s)
        except (DatabaseBusyError, DatabaseUnavailableError) as error:
            _log.warning("cannot renew the lease of job %s: %s", job.id, error)
            return False
        except LeaseLostError:
            if self.jobs.get(job.id).state.is_final:  # the runner has just committed the end
                return True
            raise
        return True

    def _is_cancelling(self, job: Job) -> bool:
        try:
            return self.jobs.get(job.id).state is JobState.CANCELLING
        except (DatabaseBusyError, DatabaseUnavailableError):
            return False

    def _settle(self, job: Job, code: int, log_file: Path) -> None:
        """Give the job back unless its runner has stored an end."""
        try:
            if self.jobs.get(job.id).state.is_final:
                return
            died = f"signal {-code}" if code < 0 else f"exit code {code}{_last_line(log_file)}"
            reason = f"the runner died: {died}"
            if code == STOPPED or self.stop():
                reason = "its worker was stopped"
            _log.warning("job %s: %s", job.id, reason)
            self.jobs.release(job.id, job.epoch, error=reason, counts=not self.stop())
        except (LeaseLostError, DatabaseBusyError, DatabaseUnavailableError) as error:
            _log.warning("job %s is left to its lease: %s", job.id, error)


def machine_lock(path: Path) -> FileLock:
    """The lock that the workers of this machine share.

    Raises SettingsError if it cannot be made, or lies in a folder of another user, who could hold it.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = path.parent.stat().st_uid
    except OSError as error:
        raise SettingsError(f"machine_lock: cannot make {path}: {error.strerror}") from None
    if owner not in (os.getuid(), 0):
        raise SettingsError(
            f"machine_lock: {path.parent} belongs to another user; set NAS_MACHINE_LOCK to a file elsewhere"
        )
    return FileLock(path)


def _kill(runner: subprocess.Popen[bytes]) -> None:
    """Kill the runner and whatever else runs in its session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(runner.pid, signal.SIGKILL)
    runner.wait()


def _last_line(log_file: Path) -> str:
    """The last line of a log, which after a crash names the exception."""
    with log_file.open("rb") as stream:
        stream.seek(max(0, log_file.stat().st_size - TAIL_BYTES))
        lines = stream.read().decode(errors="replace").strip().splitlines()
    return f": {lines[-1][:500]}" if lines else ""


def main() -> None:
    """Work until SIGTERM or SIGINT, or until the server that started this worker is gone."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    stop = StopFlag()
    signal.signal(signal.SIGTERM, stop.set)
    signal.signal(signal.SIGINT, stop.set)
    die_with_parent(os.environ)
    settings = load_settings()
    database = open_database(settings)
    try:
        Worker(settings, JobStore(database), stop).run()
    except SettingsError as error:
        raise SystemExit(f"error: {error}") from None
    finally:
        database.close()


if __name__ == "__main__":
    main()
