"""Makes tests/golden/schema/REVISION.sqlite: run once when a schema is released, then never again.

``python -m tests.db.golden FILE`` writes a database at the schema of the checked-out code.
"""

from __future__ import annotations

import sys
from pathlib import Path

from db.jobs import JobStore
from db.records import JobKind
from db.session import Database
from db.study_store import SqlStudyStore
from nas.types import Evaluation
from tests.contracts.toy import toy_evaluate, toy_space, toy_study

STUDY = toy_study("golden", supernet="digits", device="host-eager")
N_TRIALS = 12


def fill(database: Database) -> None:
    """One study of twelve finished trials and one running, one finished job and one pending."""
    space, store, jobs = toy_space(), SqlStudyStore(database), JobStore(database)
    archs = list(space.archs())[: N_TRIALS + 1]
    store.create_study(STUDY)
    store.start_trials(STUDY.id, archs)
    for number, evaluation in enumerate(toy_evaluate(space, archs[:N_TRIALS])):
        store.finish_trial(STUDY.id, number, evaluation)
    jobs.submit(JobKind.SEARCH, {"budget": N_TRIALS}, idempotency_key="golden")
    job = jobs.claim("worker", ttl_s=60)
    assert job is not None
    jobs.succeed(job.id, job.epoch, {"study": STUDY.id})
    jobs.submit(JobKind.TRAIN, {"supernet": "digits"})


def take_a_trial(database: Database) -> Evaluation:
    """Finish the running trial of the filled database with an evaluation that dominates all."""
    store = SqlStudyStore(database)
    arch = store.list_trials(STUDY.id)[N_TRIALS].evaluation.arch
    return store.finish_trial(
        STUDY.id, N_TRIALS, Evaluation(arch, {"top1": 1.0, "latency_ms": 0.1})
    ).evaluation


if __name__ == "__main__":
    golden = Database(f"sqlite:///{Path(sys.argv[1])}")
    golden.migrate()
    fill(golden)
    golden.close()
