"""Every bad input is a 4xx problem document that names the field, and stores nothing."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from service.stores import Stores
from tests.service.conftest import DEVICE, seed_front, seed_records

TRAIN = {"kind": "train", "supernet": "new", "data": "digits"}
PROFILE = {"kind": "profile", "supernet": "digits"}
SEARCH = {"kind": "search", "supernet": "digits", "device": DEVICE.name, "budget": 10}
LATENCY = {"metric": "latency_ms"}
BAD = [
    ({**TRAIN, "supernet": "../../x"}, "#/supernet"),
    ({**TRAIN, "supernet": ""}, "#/supernet"),
    ({**TRAIN, "supernet": "a" * 101}, "#/supernet"),
    ({**TRAIN, "supernet": "name\u0000"}, "#/supernet"),
    ({**TRAIN, "supernet": "digits"}, "#/supernet"),
    ({**TRAIN, "supernet": 5}, "#/supernet"),
    ({"kind": "train", "data": "digits"}, "#/supernet"),
    ({**TRAIN, "data": "zip:/tmp/x"}, "#/data"),
    ({**TRAIN, "data": "cifar10:/no/such/folder"}, "#/data"),
    ({**TRAIN, "data": "cifar10:~no-such-user/folder"}, "#/data"),
    ({**TRAIN, "data": f"cifar10:/{'x' * 300}"}, "#/data"),
    ({**TRAIN, "space": "nb201"}, "#/space"),
    ({**TRAIN, "anchors": {"conv": "digits"}}, "#/space"),
    ({**TRAIN, "config": {"frozen": "anchors"}}, "#/config/frozen"),
    ({**TRAIN, "workers": 0}, "#/workers"),
    ({**TRAIN, "workers": 3, "config": {"batch_size": 2, "subnets": 2}}, "#/workers"),
    ({**TRAIN, "workers": 2, "space": "stitched-tiny"}, "#/workers"),
    ({**TRAIN, "space": "hybrid-tiny", "teacher": "digits"}, "#/space"),
    ({**TRAIN, "space": "stitched-tiny", "teacher": "unknown"}, "#/teacher"),
    ({**TRAIN, "space": "stitched-tiny", "teacher": "digits", "anchors": {"conv": "digits"}}, "#/teacher"),
    ({**TRAIN, "space": "stitched-tiny", "anchors": {"conv": "digits"}}, "#/anchors/conv"),
    ({**TRAIN, "space": "stitched-tiny", "anchors": {"mlp": "digits"}}, "#/anchors/mlp"),
    ({**TRAIN, "space": "stitched-tiny", "anchors": {"conv": "unknown"}}, "#/anchors/conv"),
    ({**TRAIN, "seed": -1}, "#/seed"),
    ({**TRAIN, "seed": "0"}, "#/seed"),
    ({**TRAIN, "seed": True}, "#/seed"),
    ({**TRAIN, "extra": 1}, "#/extra"),
    ({**TRAIN, "config": {"epochs": 0}}, "#/config/epochs"),
    ({**TRAIN, "config": {"epochs": "many"}}, "#/config/epochs"),
    ({**TRAIN, "config": {"mode": "magic"}}, "#/config/mode"),
    ({**TRAIN, "config": {"epoch": 3}}, "#/config/epoch"),
    ({**TRAIN, "config": {"seed": 3}}, "#/config/seed"),
    ({**PROFILE, "supernet": "unknown"}, "#/supernet"),
    ({**PROFILE, "device": "mars"}, "#/device"),
    ({**PROFILE, "device": DEVICE.name, "runtime": "eager"}, "#/runtime"),
    ({**PROFILE, "runtime": "abacus"}, "#/runtime"),
    ({**PROFILE, "threads": 0}, "#/threads"),
    ({**PROFILE, "samples": 1}, "#/samples"),
    ({**SEARCH, "supernet": "unknown"}, "#/supernet"),
    ({**SEARCH, "device": "mars"}, "#/device"),
    ({**SEARCH, "budget": 0}, "#/budget"),
    ({**SEARCH, "budget": -3}, "#/budget"),
    ({**SEARCH, "budget": 1.5}, "#/budget"),
    ({"kind": "search", "supernet": "digits"}, "#/budget"),
    ({**SEARCH, "searcher": "oracle"}, "#/searcher"),
    ({**SEARCH, "searcher": "os:system"}, "#/searcher"),
    ({**SEARCH, "objectives": []}, "#/objectives"),
    ({**SEARCH, "objectives": [{"metric": "speed", "direction": "maximize"}]}, "#/objectives/0/metric"),
    ({**SEARCH, "objectives": [{**LATENCY, "direction": "minimize"}] * 2}, "#/objectives"),
    ({**SEARCH, "constraints": [LATENCY]}, "#/constraints/0"),
    ({**SEARCH, "constraints": [{**LATENCY, "maximum": 0}]}, "#/constraints/0/maximum"),
    ({**SEARCH, "constraints": [{**LATENCY, "maximum": -1.0}]}, "#/constraints/0/maximum"),
    ({**SEARCH, "constraints": [{**LATENCY, "maximum": 1e-6}]}, "#/constraints/0/maximum"),
    ({**SEARCH, "constraints": [{**LATENCY, "minimum": 3, "maximum": 2}]}, "#/constraints/0/minimum"),
    ({**SEARCH, "constraints": [{"metric": "top1", "minimum": 1.5}]}, "#/constraints/0/minimum"),
    ({**SEARCH, "constraints": [{"metric": "params", "maximum": 10}]}, "#/constraints/0/maximum"),
    ({**SEARCH, "race": []}, "#/race"),
    ({**SEARCH, "race": ["guided"]}, "#/race"),
    ({**SEARCH, "race": ["guided", "oracle"]}, "#/race/1"),
    ({**SEARCH, "race": ["guided", "random", "guided"]}, "#/race/2"),
    ({**SEARCH, "race": ["guided", "random"], "repeats": 0}, "#/repeats"),
    ({**SEARCH, "repeats": 2}, "#/repeats"),
    ({**SEARCH, "race": ["guided", "random"], "budget": 3, "repeats": 2}, "#/budget"),
    ({**SEARCH, "race": ["guided", "random"], "study": "s" * 95}, "#/study"),
    ({**SEARCH, "race": ["guided", "random"], "study": "s"}, "#/study"),
    ({**SEARCH, "study": "../s"}, "#/study"),
    ({**SEARCH, "study": "s"}, "#/study"),
    ({"kind": "extract", "subnet": "digits:0123456789abcdef"}, "#/subnet"),
    ({"kind": "fidelity", "supernet": "digits"}, "#"),
    ({"kind": "fidelity", "supernet": "digits", "truth": "/x.npz", "train_alone": 5}, "#"),
    ({"kind": "fidelity", "supernet": "no-such", "train_alone": 5}, "#/supernet"),
    ({"kind": "fidelity", "supernet": "digits", "train_alone": 2}, "#/train_alone"),
    ({"kind": "fidelity", "supernet": "digits", "truth": "/no/such.npz"}, "#/truth"),
    ({"kind": "fidelity", "supernet": "digits", "truth": "/a\0b"}, "#/truth"),
    ({"kind": "fidelity", "supernet": "digits", "train_alone": 5, "metric": "luck"}, "#/metric"),
    ({"kind": "fidelity", "supernet": "digits", "train_alone": 5, "subnets": 1}, "#/subnets"),
    ({"kind": "extract", "subnet": "no-such:0123456789abcdef"}, "#/subnet"),
    ({"kind": "extract", "subnet": "../../x"}, "#/subnet"),
    ({"kind": "extract", "subnet": {"supernet": "digits", "genes": [0] * 62}}, "#/subnet/genes"),
    ({"kind": "extract", "subnet": {"supernet": "digits", "genes": [99] * 63}}, "#/subnet/genes"),
    ({"kind": "extract", "subnet": {"supernet": "digits", "genes": [-1] * 63}}, "#/subnet/genes/0"),
    ({"kind": "extract", "subnet": {"supernet": "digits", "genes": [2**70] * 63}}, "#/subnet/genes/0"),
    ({"kind": "extract", "subnet": {"supernet": "x", "genes": [0]}}, "#/subnet/supernet"),
    ({"kind": "extract", "subnet": "digits:0123456789abcdef", "formats": ["exe"]}, "#/formats/0"),
    ({"kind": "mine"}, "#"),
    ([], "#"),
]  # fmt: skip
RAW = [
    ('{"kind":"search","supernet":"digits","budget":NaN}', "#/budget"),
    ('{"kind":"search","supernet":"digits","budget":10,"constraints":[{"metric":"top1","minimum":Infinity}]}',
     "#/constraints/0/minimum"),
    ('{"kind":"search","supernet":"digits","budget":1e999}', "#/budget"),
    ('{"kind":"train","kind":"train","supernet":"x","data":"digits"}', "#/kind"),
    ("[" * 40 + "]" * 40, "#"),
    ("[" * 100_000, "#"),
    ("{", "#"),
    ('"\\ud800"', "#"),
    (b"\xff\xfe", "#"),
    ("", "#"),
]  # fmt: skip


def assert_problem(response: Any, status: int, pointer: str | None = None) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["status"] == status
    assert document["type"].startswith("urn:stitchnas:problem:")
    assert document["request_id"] == response.headers["x-request-id"]
    if pointer is not None:
        assert pointer in [item["pointer"] for item in document["errors"]], document
    return document


@pytest.fixture
def seeded(http: TestClient, stores: Stores) -> TestClient:
    seed_records(stores)
    seed_front(stores)
    return http


@pytest.mark.parametrize(("body", "pointer"), BAD, ids=lambda value: str(value)[:60])
def test_bad_job_names_the_field(seeded: TestClient, body: Any, pointer: str) -> None:
    assert_problem(seeded.post("/api/v1/jobs", json=body), 422, pointer)
    assert seeded.get("/api/v1/jobs").json()["items"] == []


@pytest.mark.parametrize(("body", "pointer"), RAW, ids=lambda value: str(value)[:40])
def test_bad_json_names_the_field(http: TestClient, body: str | bytes, pointer: str) -> None:
    response = http.post("/api/v1/jobs", content=body, headers={"content-type": "application/json"})
    assert_problem(response, 422, pointer)
    assert "NaN" not in response.text


def test_search_without_a_predictor_says_what_to_run(http: TestClient, stores: Stores) -> None:
    seed_records(stores)
    stores.devices.put_device(DEVICE.__class__("other", "another", "onnxruntime", "1"))
    body = {**SEARCH, "device": "other"}
    document = assert_problem(http.post("/api/v1/jobs", json=body), 422, "#/device")
    assert "profile" in document["detail"]
    objective = [{"metric": "top1", "direction": "maximize"}, {"metric": "macs", "direction": "minimize"}]
    assert http.post("/api/v1/jobs", json={**body, "objectives": objective}).status_code == 202


def test_good_jobs_are_accepted(seeded: TestClient, stores: Stores) -> None:
    good = [
        TRAIN,
        PROFILE,
        SEARCH,
        {**SEARCH, "constraints": [{**LATENCY, "maximum": 2.5}]},
        {**SEARCH, "race": ["guided", "random"], "repeats": 3, "study": "race"},
        {"kind": "extract", "subnet": {"supernet": "digits", "genes": [0] * 63}},
        {"kind": "extract", "subnet": "digits:" + stores.studies.front("s")[0].evaluation.arch.key},
    ]
    for body in good:
        response = seeded.post("/api/v1/jobs", json=body)
        assert response.status_code == 202, response.text
    payload = seeded.post("/api/v1/jobs", json={**SEARCH, "device": "here"}).json()["payload"]
    assert payload["device"] == DEVICE.name
    assert [item["metric"] for item in payload["objectives"]] == ["top1", "latency_ms"]


def test_second_training_of_a_name_is_refused_while_the_first_is_queued(seeded: TestClient) -> None:
    assert seeded.post("/api/v1/jobs", json=TRAIN).status_code == 202
    assert_problem(seeded.post("/api/v1/jobs", json=TRAIN), 422, "#/supernet")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/nothing", 404),
        ("/api/v1/jobs/" + "0" * 32, 404),
        ("/api/v1/jobs/" + "0" * 32 + "/events", 404),
        ("/api/v1/jobs/%2e%2e%2fx", 404),
        ("/api/v1/jobs/xyz", 422),
        ("/api/v1/jobs?limit=0", 422),
        ("/api/v1/jobs?limit=ten", 422),
        ("/api/v1/jobs?cursor=forged", 400),
        ("/api/v1/jobs?state=lost", 422),
        ("/api/v1/studies/none/trials?cursor=forged", 404),
        ("/api/v1/spaces/none", 404),
        ("/api/v1/supernets/none", 404),
        ("/api/v1/supernets/-x", 422),
        ("/api/v1/devices/none", 404),
        ("/api/v1/subnets/none:0123456789abcdef", 404),
        ("/api/v1/subnets/none", 422),
        ("/api/v1/artifacts/" + "0" * 64, 404),
        ("/api/v1/artifacts/passwd", 422),
        ("/api/v1/fronts?max_latency_ms=NaN", 422),
        ("/api/v1/fronts?min_top1=inf", 422),
        ("/api/v1/fronts?device=../x", 422),
        ("/api/v1/fronts?format=xml", 422),
    ],
)
def test_bad_paths_and_parameters(http: TestClient, path: str, status: int) -> None:
    assert_problem(http.get(path), status)


def test_wrong_method_and_media_type(http: TestClient) -> None:
    response = http.delete("/api/v1/jobs")
    assert_problem(response, 405)
    assert set(response.headers["allow"].split(", ")) >= {"GET"} or response.headers["allow"] == "POST"
    assert_problem(http.post("/api/v1/jobs", content="{}", headers={"content-type": "text/plain"}), 422)


def test_large_bodies_are_refused_with_and_without_a_length(http: TestClient) -> None:
    assert_problem(http.post("/api/v1/jobs", content=b"x" * (2**20 + 1)), 413)
    chunks = (b" " * 2**16 for _ in range(17))
    assert_problem(http.post("/api/v1/jobs", content=chunks), 413)


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "x/health?y=", "", "127.0.0.1@evil"]
)
def test_foreign_host_is_refused(http: TestClient, host: str) -> None:
    assert_problem(http.get("/healthz", headers={"host": host}), 400)


def test_pages_of_other_origins_cannot_write(http: TestClient) -> None:
    response = http.post("/api/v1/jobs", json=TRAIN, headers={"origin": "http://evil.example"})
    assert_problem(response, 403)
    assert http.post("/api/v1/jobs", json=TRAIN, headers={"origin": "http://127.0.0.1:9"}).status_code == 202
    assert "access-control-allow-origin" not in http.get("/api/v1/jobs").headers


@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    body=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["kind", "supernet", "budget", "subnet", "genes", "config", "constraints"]),
                inner | st.sampled_from(["train", "search", "profile", "extract"]),
            )
        ),
        max_leaves=20,
    )
)
def test_no_body_is_a_server_error(http: TestClient, body: Any) -> None:
    import json

    response = http.post(
        "/api/v1/jobs", content=json.dumps(body), headers={"content-type": "application/json"}
    )
    assert_problem(response, 422)
