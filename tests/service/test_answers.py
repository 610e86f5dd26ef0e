"""Answers about a study over HTTP and on the command line."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from db.records import PredictorRecord
from nas.race.race import Race, make_race
from nas.types import Constraint, Evaluation, Study
from predictors.latency import LatencyPredictor
from service.cli import app
from service.commands import study as command
from service.stores import Stores
from tests.service.conftest import DEVICE, OBJECTIVES, SPACE, seed_front, seed_records

LIMIT = Constraint("latency_ms", maximum=2.0)


def profiled(stores: Stores, folder: Path) -> str:
    """A fitted and stored predictor; returns its id."""
    rng = np.random.default_rng(3)
    archs = [SPACE.sample(rng) for _ in range(12)]
    predictor = LatencyPredictor(SPACE, DEVICE)
    predictor.fit(archs, rng.uniform(1.0, 3.0, len(archs)))
    digest = predictor.save(folder)
    record = PredictorRecord(
        "p1", DEVICE.name, DEVICE.fingerprint, "digits", SPACE.id, "latency_ms", str(folder), digest, {}, 12,
        datetime.now(UTC),
    )  # fmt: skip
    stores.devices.put_predictor(record)
    return record.id


def fill(stores: Stores, race: Race) -> None:
    """Each racer evaluates archs of its own, the common study all of them."""
    rng = np.random.default_rng(1)
    for racer in (race.study, *race.racers):
        stores.studies.create_study(racer)
    for racer in race.racers:
        archs = [SPACE.sample(rng) for _ in range(5)]
        for study in (racer, race.study):
            for trial in stores.studies.start_trials(study.id, archs):
                latency = 1.0 + 0.4 * (trial.number % 5)
                evaluation = Evaluation(trial.evaluation.arch, {"top1": latency / 4, "latency_ms": latency})
                stores.studies.finish_trial(study.id, trial.number, evaluation)


def a_study(predictor: str | None) -> Study:
    settings = {"supernet": "digits", "device": DEVICE.name, "predictor": predictor}
    return Study("r", SPACE.id, OBJECTIVES, "race", 40, 0, 4, (LIMIT,), **settings)  # type: ignore[arg-type]


def test_all_answers_of_a_race(http: TestClient, stores: Stores, tmp_path: Path) -> None:
    seed_records(stores)
    race = make_race(a_study(profiled(stores, tmp_path / "fit")), ["random", "nsga2"], 2)
    fill(stores, race)
    found = http.get("/api/v1/studies/r/answers").json()
    assert (found["n_trials"], found["n_failed"], found["budget"]) == (20, 0, 40)
    assert found["trend"]["points"][-1] == [20, found["trend"]["hypervolume"]]
    assert found["outlook"]["n_archs"] == 4
    assert found["outlook"]["expected_gain"] > 0
    (effect,) = found["constraints"]
    assert effect["excluded"] == effect["excluded_alone"] == pytest.approx(0.4)
    assert effect["binds"]
    assert len(found["milliseconds"]) == found["front_size"] > 0
    for member in found["milliseconds"]:
        total = member["base_ms"] + sum(layer["latency_ms"] for layer in member["layers"])
        assert total == pytest.approx(member["latency_ms"])
        assert member["layers"][0]["kind"] == "stem"
    assert [curve["searcher"] for curve in found["race"]] == ["random", "nsga2"]
    assert all(curve["n_seeds"] == 2 and curve["evaluations"][-1] == 5 for curve in found["race"])
    assert found["warnings"] == []
    racers = http.get("/api/v1/studies", params={"race": "r"}).json()["items"]
    assert {racer["id"] for racer in racers} == {racer.id for racer in race.racers}


def test_a_front_counts_what_a_race_found_once(http: TestClient, stores: Stores) -> None:
    seed_records(stores)
    race = make_race(replace(a_study(None), constraints=()), ["random", "nsga2"])
    fill(stores, race)
    of_device = http.get("/api/v1/fronts", params={"device": DEVICE.name}).json()["points"]
    assert {point["study_id"] for point in of_device} == {"r"}
    of_racer = http.get("/api/v1/fronts", params={"study": "r.random"}).json()["points"]
    assert {point["study_id"] for point in of_racer} == {"r.random"}


def test_what_cannot_be_answered_is_said(http: TestClient, stores: Stores) -> None:
    seed_records(stores)
    seed_front(stores)
    found = http.get("/api/v1/studies/s/answers").json()
    assert found["milliseconds"] == found["race"] == found["constraints"] == []
    assert "no latency predictor" in found["warnings"][0]
    assert found["measured_share"] == 0.0
    assert http.get("/api/v1/studies/none/answers").status_code == 404


def test_an_empty_study_has_answers(http: TestClient, stores: Stores) -> None:
    seed_records(stores)
    stores.studies.create_study(a_study(None))
    found = http.get("/api/v1/studies/r/answers").json()
    assert found["trend"] == {"points": [], "recent_gain": 0.0, "hypervolume": 0.0}
    assert found["outlook"]["expected_gain"] is None
    assert found["constraints"][0]["hypervolume_gain"] is None


def test_the_command_prints_them(
    http: TestClient, stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed_records(stores)
    fill(stores, make_race(a_study(profiled(stores, tmp_path / "fit")), ["random", "nsga2"]))
    found: dict[str, Any] = http.get("/api/v1/studies/r/answers").json()
    client = SimpleNamespace(study_answers=lambda name: found)
    monkeypatch.setattr(command, "connect", lambda server: nullcontext(client))
    result = CliRunner().invoke(app, ["study", "r"])
    assert result.exit_code == 0, result.output
    for text in ("10 of 40 subnets", "hypervolume", "more budget would", "latency_ms <= 2", "nsga2"):
        assert text in result.output
