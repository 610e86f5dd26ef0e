"""Runner: one process that does one job. ``python -m service.runner JOB_ID --epoch N``.

It is the only kind of process that loads torch or starts Ray. It may be killed at any instant:
what it stored stays, and the next runner of the job goes on from there.
"""

from __future__ import annotations

import argparse
import ctypes
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import cast

from db.errors import DatabaseBusyError, DatabaseUnavailableError, LeaseLostError
from db.records import Job, JobKind
from db.session import Database
from predictors.errors import MeasurementStoppedError
from searchspaces.errors import NasError
from service.errors import JobStoppedError
from service.jobs.context import JobContext, JobFunction, Reporter, StopFlag
from service.settings import load_settings
from service.stores import open_stores

DONE, STOPPED, UNAVAILABLE, LEASE_LOST = 0, 75, 69, 76  # exit codes; the last three after sysexits.h
PARENT_VARIABLE = "NAS_RUNNER_PARENT"
MODULES = {kind: f"service.jobs.{kind.value}" for kind in JobKind}
_PR_SET_PDEATHSIG = 1
_log = logging.getLogger(__name__)


def job_function(kind: JobKind) -> JobFunction:
    """``run`` of the module that does this kind of job; only that module is imported."""
    return cast(JobFunction, import_module(MODULES[kind]).run)


def main(argv: Sequence[str] | None = None, find: Callable[[JobKind], JobFunction] = job_function) -> int:
    """Do one job and store its end; returns the exit code."""
    parser = argparse.ArgumentParser(description="Do one job")
    parser.add_argument("job_id")
    parser.add_argument("--epoch", type=int, required=True)
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    stop = StopFlag()
    signal.signal(signal.SIGINT, stop.set)
    signal.signal(signal.SIGTERM, stop.set)
    die_with_parent(os.environ)
    settings = load_settings()
    database = Database(settings.database)
    jobs = open_stores(database, settings).jobs
    job = jobs.get(arguments.job_id)
    context = JobContext(
        settings=settings,
        stores=open_stores(database.fenced(job.id, arguments.epoch), settings),
        report=Reporter(lambda data: jobs.progress(job.id, arguments.epoch, data)),
        log=lambda message: jobs.log(job.id, arguments.epoch, message),
        should_stop=stop,
    )
    try:
        return _do(job, arguments.epoch, context, find)
    finally:
        database.close()


def _do(job: Job, epoch: int, context: JobContext, find: Callable[[JobKind], JobFunction]) -> int:
    """A NasError is the job's own fault and ends it; any other exception leaves the job to a retry."""
    jobs = context.stores.jobs
    try:
        result = find(job.kind)(job, context)
        jobs.succeed(job.id, epoch, result)
    except (JobStoppedError, MeasurementStoppedError):
        return STOPPED
    except LeaseLostError as error:
        _log.warning("%s", error)
        return LEASE_LOST
    except (DatabaseBusyError, DatabaseUnavailableError) as error:
        _log.error("%s", error)
        return UNAVAILABLE
    except NasError as error:
        _log.error("%s: %s", type(error).__name__, error)
        jobs.fail(job.id, epoch, f"{type(error).__name__}: {error}")
    return DONE


def die_with_parent(environment: Mapping[str, str]) -> None:
    """Have the kernel kill this process when its parent dies, however that happens (Linux).

    Exits if the parent named in PARENT_VARIABLE is gone already.
    """
    parent = environment.get(PARENT_VARIABLE)
    if parent is None:
        return
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):
        raise SystemExit(LEASE_LOST)


if __name__ == "__main__":
    raise SystemExit(main())
