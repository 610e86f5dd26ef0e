"""A new device without a new search: few measurements, a transferred predictor, a re-ranked front."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from db.evaluations import EvaluatedArch
from db.ids import new_id
from db.records import Job, JobKind
from nas.evaluate.evaluator import PROTOCOL
from predictors.campaign import Campaign
from predictors.device import Device
from predictors.latency import LatencyPredictor
from predictors.latency_files import load_latency
from predictors.sample import LatencySample
from predictors.transfer.predictor import TransferPredictor
from searchspaces.space import Arch
from service.cli import app
from service.client import Client
from service.jobs import measuring, profile
from service.jobs.context import JobContext, Reporter
from service.jobs.searching.begin import load_predictor, study_of
from service.rerank import comparable, worth_measuring
from service.stores import Stores, open_database, open_stores
from tests.contracts.predictor import sample_archs
from tests.predictors.test_transfer import latency
from tests.service.conftest import DEVICE, SPACE, Live, seed_front, seed_records
from tests.service.test_bad_input import assert_problem

BOARD = Device("board", "a new board, aarch64, 4 cores", "eager", "9.9")
POOL = sample_archs(SPACE, 60, seed=21)
MACHINES = {DEVICE.fingerprint: 0, BOARD.fingerprint: 9}


def samples(archs: Sequence[Arch], device: Device) -> list[LatencySample]:
    times = latency(list(archs), MACHINES[device.fingerprint]).tolist()
    return [LatencySample(arch, device, (time,), (time,)) for arch, time in zip(archs, times, strict=True)]


def a_job(stores: Stores, **fields: Any) -> Job:
    payload = {
        "supernet": "digits", "device": "board", "runtime": "eager", "threads": 1, "samples": 10,
        "transfer": None, "refine": False, "seed": 0,
    }  # fmt: skip
    return stores.jobs.submit(JobKind.PROFILE, {**payload, **fields})


@pytest.fixture
def live_stores(live: Live) -> Iterator[Stores]:
    database = open_database(live.settings())
    yield open_stores(database, live.settings())
    database.close()


@pytest.fixture
def context(live: Live, live_stores: Stores, monkeypatch: pytest.MonkeyPatch) -> JobContext:
    """A job's context on a board whose times are made up."""

    def measured(_trained: object, archs: Sequence[Arch], *_: object, **__: object) -> Campaign:
        return Campaign(tuple(samples(archs, BOARD)), (), {})

    def opened(name: str, _context: object) -> object:
        return SimpleNamespace(record=live_stores.supernets.get(name), supernet=SimpleNamespace(space=SPACE))

    monkeypatch.setattr(profile, "_local_device", lambda *_: BOARD)
    monkeypatch.setattr(profile, "open_supernet", opened)
    monkeypatch.setattr(measuring, "measure", measured)
    return JobContext(live.settings(), live_stores, Reporter(lambda _: None), lambda _: None, lambda: False)


def test_a_new_device_is_ranked_from_ten_measurements(
    client: Client, live_stores: Stores, context: JobContext, live: Live
) -> None:
    seed_front(live_stores, "earlier", 12)
    live_stores.devices.add_samples("digits", samples(POOL, DEVICE), campaign="known")
    result = profile.run(a_job(live_stores), context)
    assert (result["n_samples"], result["quality"]["n_sources"]) == (10, 1)
    assert result["quality"]["n_train"] == 9

    answer = client.front_answer(device="board")
    (said,) = answer["reranked"]
    assert (said["supernet"], said["n_samples"], said["n_evaluated"]) == ("digits", 10, 12)
    assert said["missing_hypervolume"] >= 0
    assert said["missing_share"] == pytest.approx(
        said["missing_hypervolume"] / (said["hypervolume"] + said["missing_hypervolume"])
    )
    points = answer["points"]
    assert points
    assert {(point["device"], point["latency_source"]) for point in points} == {("board", "predicted")}
    assert all(p["latency_low_ms"] <= p["latency_ms"] <= p["latency_high_ms"] for p in points)
    order = [(point["latency_ms"], point["top1"]) for point in points]
    assert order == sorted(order)
    assert [top1 for _, top1 in order] == sorted(top1 for _, top1 in order)

    limit = points[0]["latency_ms"] * 1.0001
    assert client.front(device="board", max_latency_ms=limit) == points[:1]
    best = client.best(device="board", max_latency_ms=limit)
    assert best["subnet_id"] == points[0]["subnet_id"]
    assert best["reranked"] == answer["reranked"]
    assert client.front_answer(device="board", study="earlier")["points"] == []
    assert client.front_answer(device=DEVICE.name)["reranked"] == []

    shown = CliRunner().invoke(app, ["front", "--device", "board", "--server", live.url])
    assert "nothing was searched for board" in shown.output
    assert "12 evaluated subnets" in shown.output

    assert_refined(result, live_stores, context)
    search = replace(a_job(live_stores), payload=_search_payload())
    study = study_of(search, live_stores.supernets.get("digits"), SPACE, context)
    predictor = load_predictor(study.predictor, SPACE, context)
    assert isinstance(predictor, TransferPredictor)
    assert study.predictor == live_stores.devices.latest_predictor("digits", "board").id


def assert_refined(before: Mapping[str, Any], stores: Stores, context: JobContext) -> None:
    """The next five measurements are of evaluated subnets that may be on the front, none twice."""
    first = stores.devices.get_predictor(before["predictor"])
    known = {sample.arch for sample in stores.devices.list_samples("digits", BOARD.fingerprint)}
    wanted = [arch for arch in worth_measuring(first, stores) if arch not in known]
    assert wanted
    result = profile.run(a_job(stores, samples=5, refine=True), context)
    assert result["n_samples"] == 15
    after = stores.devices.list_samples("digits", BOARD.fingerprint)[10:]
    assert {sample.arch for sample in after} >= set(wanted[:5])


def _search_payload() -> dict[str, Any]:
    objectives = [
        {"metric": "top1", "direction": "maximize", "reference": None},
        {"metric": "latency_ms", "direction": "minimize", "reference": None},
    ]
    return {
        "supernet": "digits", "device": "board", "searcher": "random", "budget": 4, "batch_size": 2,
        "seed": 0, "study": new_id(), "objectives": objectives, "constraints": [],
    }  # fmt: skip


def test_many_measurements_make_a_predictor_of_their_own(live_stores: Stores, context: JobContext) -> None:
    live_stores.devices.add_samples("digits", samples(POOL, DEVICE), campaign="known")
    for fields in ({"samples": 40}, {"samples": 20, "transfer": False}):
        result = profile.run(a_job(live_stores, **fields), context)
        record = live_stores.devices.get_predictor(result["predictor"])
        assert "n_sources" not in record.quality
        folder = context.settings.folder / "predictors" / record.id
        assert isinstance(load_latency(folder, SPACE), LatencyPredictor)


def test_a_job_without_a_device_to_learn_from_is_refused(http: TestClient, stores: Stores) -> None:
    seed_records(stores)
    body = {"kind": "profile", "supernet": "digits", "samples": 10}
    problem = assert_problem(http.post("/api/v1/jobs", json=body), 422, "#/samples")
    assert "no other device has 40 measurements" in problem["errors"][0]["detail"]
    assert_problem(
        http.post("/api/v1/jobs", json={**body, "transfer": True, "samples": 50}), 422, "#/transfer"
    )
    eager = {**body, "runtime": "eager", "refine": True, "samples": 30}
    assert_problem(http.post("/api/v1/jobs", json=eager), 422, "#/refine")
    problem = assert_problem(http.post("/api/v1/jobs", json={**body, "transfer": False}), 422, "#/samples")
    assert "needs 20 measurements; with these it has 11" in problem["errors"][0]["detail"]


def test_a_predictor_that_cannot_be_read_is_a_warning(http: TestClient, stores: Stores) -> None:
    seed_records(stores)  # whose predictor has no files
    stores.devices.put_device(BOARD)
    seed_front(stores)
    record = stores.devices.latest_predictor("digits", DEVICE.name)
    other = replace(record, id="other", device="board", fingerprint=BOARD.fingerprint)
    stores.devices.put_predictor(other)
    answer = http.get("/api/v1/fronts", params={"device": "board"}).json()
    assert (answer["points"], answer["reranked"]) == ([], [])
    (warning,) = answer["warnings"]
    assert "nowhere" in warning
    assert_problem(http.get("/api/v1/fronts/best", params={"device": "board"}), 404)


def test_only_evaluations_of_one_protocol_are_compared() -> None:
    archs = sample_archs(SPACE, 4, seed=3)

    def one(number: int, arch: Arch, **values: float) -> EvaluatedArch:
        return EvaluatedArch("s", number, arch, values)

    old = one(0, archs[0], **{"top1": 0.9, PROTOCOL: 1.0})
    first = one(1, archs[1], **{"top1": 0.5, PROTOCOL: 2.0})
    again = one(2, archs[1], **{"top1": 0.6, PROTOCOL: 2.0})
    guess = one(3, archs[2], top1=0.99, top1_low=0.9)
    other = one(4, archs[3], macs=3.0)
    assert comparable([old, first, again, guess, other]) == [again]
    assert comparable([guess, other]) == [guess]
    assert comparable([other]) == []


def test_latencies_of_the_searched_device_have_no_part(live_stores: Stores) -> None:
    seed_front(live_stores, "values", 2)
    found = [one for one in live_stores.evaluations.of_supernet("digits") if one.study_id == "values"]
    assert [one.number for one in found] == [0, 1]
    assert all(set(one.values) == {"top1"} for one in found)
    assert live_stores.evaluations.supernets() == ["digits"]
    assert np.isclose(found[1].values["top1"], 0.6)
