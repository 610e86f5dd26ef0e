"""Fronts by device and budget: JSON, CSV, ETags, and the best point within a budget."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from db.records import FidelityRecord, SupernetRecord
from nas.fidelity.alone import FILE
from nas.fidelity.runs import StandaloneRun, StandaloneRuns
from nas.types import Evaluation
from predictors.sample import LatencySample, Quantities
from service.routes.fronts import guard_cell
from service.stores import Stores
from tests.contracts.predictor import sample_archs
from tests.service.conftest import DEVICE, SPACE, seed_front, seed_records
from tests.service.fake_runner import toy_report
from tests.service.test_bad_input import assert_problem

FRONTS, BEST = "/api/v1/fronts", "/api/v1/fronts/best"


@pytest.fixture
def ids(stores: Stores) -> list[str]:
    seed_records(stores)
    return seed_front(stores)


def test_front_is_sorted_by_latency_and_filtered(http: TestClient, ids: list[str]) -> None:
    points = http.get(FRONTS, params={"device": "here"}).json()["points"]
    assert [point["subnet_id"] for point in points] == ids
    assert {point["latency_source"] for point in points} == {"predicted"}
    assert points[0]["latency_low_ms"] == pytest.approx(0.9)
    fast = http.get(FRONTS, params={"device": DEVICE.name, "max_latency_ms": 2.5}).json()["points"]
    assert [point["subnet_id"] for point in fast] == ids[:2]
    good = http.get(FRONTS, params={"supernet": "digits", "min_top1": 0.65}).json()["points"]
    assert [point["subnet_id"] for point in good] == ids[2:]
    assert http.get(FRONTS, params={"study": "other"}).json()["points"] == []


def test_front_as_csv_by_parameter_and_by_accept(http: TestClient, ids: list[str]) -> None:
    by_parameter = http.get(FRONTS, params={"format": "csv"})
    by_accept = http.get(FRONTS, headers={"accept": "text/csv"})
    assert by_parameter.text == by_accept.text
    assert by_parameter.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(by_parameter.text)))
    assert [row["subnet_id"] for row in rows] == ids
    assert [float(row["latency_ms"]) for row in rows] == [1.0, 2.0, 3.0, 4.0]
    assert rows[0]["test_top1"] == ""


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-2", "@SUM(A1)", "\t=x", "\r=x"])
def test_csv_cells_that_begin_like_a_formula_are_quoted(text: str) -> None:
    assert guard_cell(text) == f"'{text}"
    assert guard_cell(f"a{text}") == f"a{text}"
    assert guard_cell(-2.0) == -2.0


def test_etag_changes_exactly_with_the_front(http: TestClient, stores: Stores, ids: list[str]) -> None:
    first = http.get(FRONTS)
    tag = first.headers["etag"]
    again = http.get(FRONTS, headers={"if-none-match": f'"other", {tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert http.get(FRONTS, headers={"if-none-match": '"other"'}).status_code == 200
    assert http.get(FRONTS, params={"format": "csv"}).headers["etag"] != tag
    stores.studies.record_measured("s", 0, latency_ms=0.8)
    changed = http.get(FRONTS, headers={"if-none-match": tag})
    assert changed.status_code == 200
    assert changed.json()["points"][0]["latency_source"] == "measured"


def test_best_is_the_most_accurate_within_the_budget(http: TestClient, ids: list[str]) -> None:
    for budget, expected in ((1.0, ids[0]), (2.9, ids[1]), (100, ids[3])):
        point = http.get(BEST, params={"device": "here", "max_latency_ms": budget}).json()
        assert point["subnet_id"] == expected
    assert http.get(BEST).json()["subnet_id"] == ids[3]


def test_nothing_within_the_budget_names_constraint_and_nearest_point(
    http: TestClient, ids: list[str]
) -> None:
    document = assert_problem(http.get(BEST, params={"max_latency_ms": 0.5}), 404)
    assert document["constraint"] == {"metric": "latency_ms", "maximum": 0.5}
    assert document["nearest"]["subnet_id"] == ids[0]
    document = assert_problem(http.get(BEST, params={"max_latency_ms": 2.5, "min_top1": 0.9}), 404)
    assert document["constraint"] == {"metric": "top1", "minimum": 0.9}
    assert document["nearest"]["subnet_id"] == ids[1]
    assert "latency_ms <= 2.5" in document["detail"]


def test_no_front_at_all_is_a_404(http: TestClient, ids: list[str]) -> None:
    document = assert_problem(http.get(BEST, params={"device": "mars"}), 404)
    assert "mars" in document["detail"]


def test_a_front_says_when_its_ranking_was_never_checked(http: TestClient, ids: list[str]) -> None:
    for answer in (
        http.get(FRONTS).json(),
        http.get(BEST).json(),
        http.get(FRONTS, params={"study": "s"}).json(),
    ):
        assert answer["fidelity"] is None
        (warning,) = answer["warnings"]
        assert "'digits'" in warning
        assert "nas fidelity --supernet digits" in warning
    assert http.get(FRONTS, params={"study": "other"}).json() == {
        "points": [],
        "reranked": [],
        "standalone": [],
        "fidelity": None,
        "warnings": [],
    }
    assert http.get("/api/v1/supernets/digits").json()["fidelity"] is None


def test_a_front_says_what_training_alone_would_give(
    http: TestClient, ids: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert http.get(FRONTS).json()["points"][0]["standalone_top1"] is None
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "nowhere"  # the folder of the seeded supernet
    folder.mkdir()
    archs = sample_archs(SPACE, 25)
    found = [
        StandaloneRun(arch.key, arch.genes, 0.5 + 0.01 * len(SPACE.decode(arch).blocks), 1.0, 1, 1, 1)
        for arch in archs
    ]
    StandaloneRuns(SPACE.id, {"epochs": 3, "train_images": 100}, tuple(found)).save(folder / FILE)
    front, best = http.get(FRONTS).json(), http.get(BEST).json()
    (rests_on,) = front["standalone"]
    assert best["standalone"] == [rests_on]
    assert (rests_on["supernet"], rests_on["runs"], rests_on["recipe"]["epochs"]) == ("digits", 25, 3)
    assert rests_on["spearman"] > 0.5
    subnet = http.get(f"/api/v1/subnets/{ids[0]}").json()["fronts"][0]
    for point in (*front["points"], best, subnet):
        low, high = point["standalone_top1_low"], point["standalone_top1_high"]
        assert 0 <= low <= point["standalone_top1"] <= high <= 1
    rows = csv.DictReader(io.StringIO(http.get(FRONTS, params={"format": "csv"}).text))
    assert float(next(rows)["standalone_top1"]) == pytest.approx(front["points"][0]["standalone_top1"])
    (folder / FILE).write_text("{")
    damaged = http.get(FRONTS).json()
    assert damaged["points"][0]["standalone_top1"] is None
    assert any("training alone cannot be read" in warning for warning in damaged["warnings"])


def test_a_front_carries_the_fidelity_of_its_supernet(
    http: TestClient, stores: Stores, ids: list[str]
) -> None:
    tag = http.get(FRONTS).headers["etag"]
    report = toy_report("digits")
    stores.supernets.put_fidelity(FidelityRecord("digits", report, None, datetime.now(UTC)))
    for answer in (
        http.get(FRONTS).json(),
        http.get(BEST).json(),
        http.get("/api/v1/supernets/digits").json(),
    ):
        assert answer["fidelity"] == json.loads(report.to_json())
        assert answer.get("warnings", []) == []
    assert http.get("/api/v1/supernets").json()["items"][0]["fidelity"]["spearman"] == 0.91
    assert http.get(FRONTS, headers={"if-none-match": tag}).status_code == 200


def test_a_front_of_several_supernets_gives_no_fidelity_but_says_so(
    http: TestClient, stores: Stores, ids: list[str]
) -> None:
    stores.supernets.put_fidelity(FidelityRecord("digits", toy_report("digits"), None, datetime.now(UTC)))
    now = datetime.now(UTC)
    stores.supernets.put(SupernetRecord("more", SPACE.id, "digits", 10, 1, 8, "x", "1" * 64, {}, None, now))
    study = replace(stores.studies.get_study("s"), id="t", supernet="more")
    stores.studies.create_study(study)
    arch = SPACE.extreme(largest=False)
    stores.studies.start_trials("t", [arch])
    stores.studies.finish_trial("t", 0, Evaluation(arch, {"top1": 0.9, "latency_ms": 0.1}))
    answer = http.get(FRONTS).json()
    assert answer["fidelity"] is None
    unchecked, several = answer["warnings"]
    assert "'more'" in unchecked
    assert "?supernet=NAME" in several
    assert http.get(FRONTS, params={"supernet": "digits"}).json()["fidelity"]["supernet"] == "digits"


def test_subnet_has_its_values_cost_and_fronts(http: TestClient, ids: list[str]) -> None:
    answer = http.get(f"/api/v1/subnets/{ids[2]}").json()
    assert answer["id"] == ids[2]
    assert answer["values"]["resolution"] == answer["resolution"]
    assert answer["cost"]["params"] > 0
    assert [point["number"] for point in answer["fronts"]] == [2]
    assert answer["measurements"] == []


def test_subnet_shows_what_was_measured_of_it(http: TestClient, stores: Stores, ids: list[str]) -> None:
    arch = stores.studies.find_arch("digits", ids[1].partition(":")[2])
    quantities = Quantities(5000, 2**20, None)
    measured = LatencySample(arch, DEVICE, (2.0, 4.0), (9.0, 9.0), quantities)
    stores.devices.add_samples("digits", [measured], campaign="mine")
    (found,) = http.get(f"/api/v1/subnets/{ids[1]}").json()["measurements"]
    assert (found["device"], found["campaign"], found["suspect"]) == (DEVICE.name, "mine", False)
    assert (found["latency_ms"], found["iqr_ms"]) == (3.0, 1.0)
    assert (found["file_size_bytes"], found["run_peak_memory_bytes"], found["energy_mj"]) == (
        5000,
        2**20,
        None,
    )


def test_studies_and_trials_are_paged(http: TestClient, ids: list[str]) -> None:
    assert [study["id"] for study in http.get("/api/v1/studies").json()["items"]] == ["s"]
    page = http.get("/api/v1/studies/s/trials", params={"limit": 3}).json()
    rest = http.get("/api/v1/studies/s/trials", params={"cursor": page["next_cursor"]}).json()
    numbers = [trial["number"] for trial in page["items"] + rest["items"]]
    assert (numbers, rest["next_cursor"]) == ([0, 1, 2, 3], None)


def test_devices_predictors_and_supernets_are_listed(http: TestClient, ids: list[str]) -> None:
    (device,) = http.get("/api/v1/devices").json()["items"]
    assert (device["name"], device["fingerprint"]) == (DEVICE.name, DEVICE.fingerprint)
    assert http.get("/api/v1/devices/here").json() == device
    (predictor,) = http.get("/api/v1/predictors", params={"device": "here"}).json()["items"]
    assert predictor["quality"] == {"spearman": 0.99}
    assert http.get("/api/v1/predictors", params={"supernet": "other"}).json()["items"] == []
    assert http.get("/api/v1/supernets/digits").json()["metrics"] == {"top1_largest": 0.9}


def test_spaces_state_their_choices(http: TestClient) -> None:
    names = [item["name"] for item in http.get("/api/v1/spaces").json()["items"]]
    space = http.get("/api/v1/spaces/hybrid-tiny-r20-24-28").json()
    assert "hybrid-tiny" in names
    assert len(space["choices"]) == space["n_choices"]
    assert space["choices"][0]["values"] == [20, 24, 28]
    assert {"nsga2", "tpe", "random"} <= set(http.get("/api/v1/searchers").json()["items"])
