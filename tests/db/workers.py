"""What other processes do in the tests of concurrency."""

from __future__ import annotations

import sys
from itertools import count

from db.jobs import JobStore
from db.records import JobKind
from db.session import Database
from db.study_store import SqlStudyStore
from nas.types import Evaluation
from tests.contracts.toy import toy_space

ARCHS = tuple(toy_space().archs())


def claim_all(url: str, worker: str) -> list[str]:
    """Claim jobs until there are none; their ids."""
    database = Database(url, busy_timeout_s=30.0)
    jobs, claimed = JobStore(database), []
    while (job := jobs.claim(worker, ttl_s=600)) is not None:
        claimed.append(job.id)
        jobs.progress(job.id, job.epoch, {"worker": worker})
    database.close()
    return claimed


def submit_same(url: str, key: str) -> str:
    """Submit one request under a key; the job's id."""
    database = Database(url, busy_timeout_s=30.0)
    job = JobStore(database).submit(JobKind.TRAIN, {"a": 1}, idempotency_key=key)
    database.close()
    return job.id


def search(url: str, study_id: str, batches: int) -> list[int]:
    """Start batches of three trials and finish each; the numbers given."""
    database = Database(url, busy_timeout_s=30.0)
    store, numbers = SqlStudyStore(database), []
    for batch in range(batches):
        for trial in store.start_trials(study_id, ARCHS[batch : batch + 3]):
            values = {"top1": (trial.number * 7 % 11) / 11, "latency_ms": float(trial.number * 5 % 13 + 1)}
            store.finish_trial(study_id, trial.number, Evaluation(trial.evaluation.arch, values))
            numbers.append(trial.number)
    database.close()
    return numbers


def log_for_ever(url: str, job_id: str, epoch: int) -> None:
    """Write one event after another and print each number once it is acknowledged."""
    jobs = JobStore(Database(url, busy_timeout_s=30.0))
    for number in count():
        jobs.log(job_id, epoch, str(number))
        print(number, flush=True)  # noqa: T201 - the test reads it


if __name__ == "__main__":
    log_for_ever(sys.argv[1], sys.argv[2], int(sys.argv[3]))
