"""Refinement: where, of what, and which predictor counts from which trial on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from db.ids import new_id
from db.records import Job, JobKind, PredictorRecord
from db.study_inputs import Refinement
from nas.search.random import RandomSearcher
from nas.search.relabel import RelabellingSearcher
from nas.types import Evaluation, Study
from predictors.campaign import Campaign
from predictors.errors import UnstableMeasurementError
from predictors.latency import LatencyPredictor
from predictors.sample import LatencySample
from searchspaces.space import Arch
from service.errors import AgentUnavailableError
from service.jobs.context import JobContext, Reporter
from service.jobs.inputs import Trained
from service.jobs.searching import measuring
from service.jobs.searching import refine as module
from service.jobs.searching.begin import load_predictor
from service.jobs.searching.refine import FixedPoint, due_points, fixed_points, predictor_of, refine
from service.settings import Settings
from service.stores import Stores
from tests.service.conftest import DEVICE, OBJECTIVES, SPACE, seed_records

POINT = FixedPoint(8, 3)
RNG = np.random.default_rng(5)
ARCHS = list(dict.fromkeys(SPACE.sample(RNG) for _ in range(36)))


def true_ms(arch: Arch) -> float:
    return 1.0 + float(np.arange(1, len(arch.genes) + 1) @ np.array(arch.genes)) / 50


def samples(archs: Sequence[Arch]) -> list[LatencySample]:
    return [LatencySample(arch, DEVICE, (true_ms(arch),), (true_ms(arch),)) for arch in archs]


@pytest.fixture
def context(settings: Settings, stores: Stores) -> JobContext:
    seed_records(stores)
    return JobContext(settings, stores, Reporter(lambda _: None), lambda _: None, lambda: False)


@pytest.fixture
def study(context: JobContext, stores: Stores, tmp_path: Path) -> Study:
    """A study of eight finished trials, and the predictor that it began with."""
    predictor = LatencyPredictor(SPACE, DEVICE)
    predictor.fit_samples(samples(ARCHS[20:36]))
    stores.devices.add_samples("digits", samples(ARCHS[20:36]), campaign="first")
    digest = predictor.save(tmp_path / "first")
    record = PredictorRecord(
        new_id(), DEVICE.name, DEVICE.fingerprint, "digits", SPACE.id, "latency_ms",
        str(tmp_path / "first"), digest, {}, 16, datetime.now(UTC),
    )  # fmt: skip
    stores.devices.put_predictor(record)
    found = Study(
        "s", SPACE.id, OBJECTIVES, "random", 24, 0, batch_size=4,
        supernet="digits", device=DEVICE.name, predictor=record.id,
    )  # fmt: skip
    stores.studies.create_study(found)
    latency = predictor.predict(ARCHS[:8]).mean.tolist()
    for trial, ms in zip(stores.studies.start_trials("s", ARCHS[:8]), latency, strict=True):
        values = {"top1": 0.5 + ms / 100, "latency_ms": ms}
        stores.studies.finish_trial("s", trial.number, Evaluation(trial.evaluation.arch, values))
    return found


@pytest.fixture
def trained(stores: Stores) -> Trained:
    return Trained(stores.supernets.get("digits"), _Supernet(), {})  # type: ignore[arg-type]


class _Supernet:
    space = SPACE


def a_job(stores: Stores, **payload: object) -> Job:
    return stores.jobs.submit(JobKind.SEARCH, {"refine": 6, "seed": 0, **payload})


def test_fixed_points_are_whole_batches_that_share_the_measurements() -> None:
    assert fixed_points(60, 10, 5) == [FixedPoint(20, 3), FixedPoint(40, 2)]
    assert fixed_points(50, 20, 4) == [FixedPoint(20, 2), FixedPoint(40, 2)]
    assert fixed_points(60, 10, 1) == [FixedPoint(20, 1)]
    assert fixed_points(60, 10, 0) == fixed_points(20, 20, 9) == []
    assert fixed_points(11, 10, 9) == [FixedPoint(10, 9)]


def test_measured_subnets_may_be_on_the_front_and_the_new_predictor_counts_from_there(
    study: Study, trained: Trained, context: JobContext, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Arch] = []

    def measure(campaign_id: str, device: object, _: object, archs: list[Arch], *__: object) -> Campaign:
        asked.extend(archs)
        stores.devices.add_samples("digits", samples(archs), campaign=campaign_id)
        return Campaign(tuple(samples(archs)))

    monkeypatch.setattr(module, "measure_for_search", measure)
    job = a_job(stores)
    assert due_points(job, study, context) == [POINT, FixedPoint(16, 3)]
    refine(job, study, POINT, trained, context)
    assert len(asked) == 3
    assert set(asked) <= set(ARCHS[:8])
    [stored] = stores.inputs.refinements("s")
    assert (stored.first_number, stored.n_measured, stored.reason) == (8, 3, None)
    assert predictor_of(study, context) == stored.predictor != study.predictor
    assert stores.devices.get_predictor(stored.predictor).n_samples == 20
    before, after = (load_predictor(i, SPACE, context) for i in (study.predictor, stored.predictor))
    assert before is not None
    assert after is not None
    assert (before.predict(ARCHS).mean != after.predict(ARCHS).mean).any()

    assert due_points(job, study, context) == [FixedPoint(16, 3)]  # as a job that goes on
    asked.clear()
    refine(job, study, FixedPoint(16, 3), trained, context)
    assert not set(asked) & {s.arch for s in samples(ARCHS[20:36])}
    assert [one.first_number for one in stores.inputs.refinements("s")] == [8, 16]


@pytest.mark.parametrize("error", [UnstableMeasurementError("noisy"), AgentUnavailableError("silent")])
def test_what_cannot_be_measured_now_leaves_the_predictor_and_says_why(
    error: Exception, study: Study, trained: Trained, context: JobContext, stores: Stores,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def measure(*_: object) -> Campaign:
        raise error

    monkeypatch.setattr(module, "measure_for_search", measure)
    job = a_job(stores)
    refine(job, study, POINT, trained, context)
    assert study.predictor is not None
    assert stores.inputs.refinements("s") == [Refinement(8, study.predictor, 0, str(error))]
    assert due_points(job, study, context) == [FixedPoint(16, 3)]


def test_what_was_asked_already_is_not_refined(study: Study, context: JobContext, stores: Stores) -> None:
    stores.studies.start_trials("s", ARCHS[8:12])
    assert due_points(a_job(stores), study, context) == [FixedPoint(16, 3)]
    assert due_points(a_job(stores, refine=0), study, context) == []


def test_a_device_elsewhere_is_not_measured(context: JobContext, stores: Stores, trained: Trained) -> None:
    elsewhere = replace(DEVICE, hardware="another, aarch64, 4 cores")
    with pytest.raises(measuring.NOT_NOW, match="not the worker's machine"):
        measuring.measure_for_search("c", elsewhere, trained, ARCHS[:1], a_job(stores), context)


def test_a_silent_agent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Agent:
        name, description = "board", None
        last_seen_at = datetime.now(UTC) - timedelta(seconds=2 * measuring.ONLINE_S)

    monkeypatch.setattr(measuring, "agent_device", lambda *_: DEVICE)
    with pytest.raises(AgentUnavailableError, match="was not heard of for 120 s"):
        measuring._require_online(Agent(), DEVICE)  # type: ignore[arg-type]


def test_a_history_is_told_as_it_is_known_now(study: Study, context: JobContext, stores: Stores) -> None:
    predictor = load_predictor(study.predictor, SPACE, context)
    assert predictor is not None
    inner = RandomSearcher(SPACE, OBJECTIVES, seed=0)
    told: list[Evaluation] = []
    inner.tell = told.extend  # type: ignore[method-assign, assignment]
    failed = Evaluation(ARCHS[1], error="broken")
    stale = Evaluation(ARCHS[0], {"top1": 0.5, "latency_ms": 99.0})
    RelabellingSearcher(inner, {"latency_ms": predictor}).tell([stale, failed])
    fresh = float(predictor.predict(ARCHS[:1]).mean[0])
    assert told == [Evaluation(ARCHS[0], {"top1": 0.5, "latency_ms": fresh}), failed]
