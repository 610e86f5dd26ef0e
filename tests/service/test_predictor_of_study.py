"""A study keeps the latency predictor it began with, however often its device is measured again."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from db.ids import new_id
from db.records import Job, JobKind, PredictorRecord
from predictors.latency import LatencyPredictor
from predictors.latency_files import AnyLatencyPredictor
from service.jobs.context import JobContext, Reporter
from service.jobs.searching.begin import load_predictor, study_of
from service.settings import Settings
from service.stores import Stores
from tests.service.conftest import DEVICE, SPACE, seed_records

LARGEST = SPACE.extreme(largest=True)


def profiled(stores: Stores, folder: Path, slowdown: float) -> str:
    """As a profile job ends: a predictor is fitted, written and recorded; returns its id."""
    rng = np.random.default_rng(3)
    archs = [SPACE.sample(rng) for _ in range(12)]
    predictor = LatencyPredictor(SPACE, DEVICE)
    predictor.fit(archs, slowdown * rng.uniform(1.0, 2.0, len(archs)))
    digest = predictor.save(folder)
    record = PredictorRecord(
        id=new_id(),
        device=DEVICE.name,
        fingerprint=DEVICE.fingerprint,
        supernet="digits",
        space=SPACE.id,
        metric="latency_ms",
        folder=str(folder),
        digest=digest,
        quality={},
        n_samples=len(archs),
        created_at=datetime.now(UTC),
    )
    stores.devices.put_predictor(record)
    return record.id


def search_job(stores: Stores, study: str | None) -> Job:
    objectives = [
        {"metric": "top1", "direction": "maximize", "reference": None},
        {"metric": "latency_ms", "direction": "minimize", "reference": None},
    ]
    payload = {
        "supernet": "digits", "device": DEVICE.name, "searcher": "random", "budget": 4, "batch_size": 2,
        "seed": 0, "study": study, "objectives": objectives, "constraints": [],
    }  # fmt: skip
    return stores.jobs.submit(JobKind.SEARCH, payload)


def latency_of(predictor: AnyLatencyPredictor | None) -> float:
    assert predictor is not None
    return float(predictor.predict([LARGEST]).mean[0])


@pytest.mark.parametrize("name", [None, "named"])
def test_resumed_study_keeps_its_first_predictor(
    name: str | None, settings: Settings, stores: Stores, tmp_path: Path
) -> None:
    seed_records(stores)
    context = JobContext(settings, stores, Reporter(lambda _: None), lambda _: None, lambda: False)
    supernet = stores.supernets.get("digits")
    job = search_job(stores, name)

    first = profiled(stores, tmp_path / "first", slowdown=1.0)
    begun = study_of(job, supernet, SPACE, context)
    before = load_predictor(begun.predictor, SPACE, context)
    assert begun.predictor == first
    stores.studies.create_study(begun)

    second = profiled(stores, tmp_path / "second", slowdown=100.0)
    resumed = study_of(job, supernet, SPACE, context)
    after = load_predictor(resumed.predictor, SPACE, context)
    assert resumed == begun
    assert latency_of(after) == latency_of(before)

    fresh = study_of(search_job(stores, None), supernet, SPACE, context)
    newest = load_predictor(fresh.predictor, SPACE, context)
    assert fresh.predictor == second
    assert latency_of(newest) > 10 * latency_of(before)
    assert fresh.objectives[1].reference > 10 * begun.objectives[1].reference
