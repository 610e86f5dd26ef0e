"""A profile job chooses among all runtimes; one that cannot run here is refused when it is submitted."""

from __future__ import annotations

import importlib.metadata
import sys
from typing import get_args

import pytest
from fastapi.testclient import TestClient

from predictors.runtimes.registry import RUNTIMES
from service.schemas.jobs import RuntimeName
from service.stores import Stores
from tests.service.conftest import seed_records
from tests.service.test_bad_input import PROFILE, assert_problem


@pytest.fixture
def seeded(http: TestClient, stores: Stores) -> TestClient:
    seed_records(stores)
    return http


def test_every_runtime_can_be_asked_for() -> None:
    assert set(get_args(RuntimeName)) == set(RUNTIMES)


@pytest.mark.parametrize("runtime", ["openvino", "openvino-int8"])
def test_one_that_is_not_installed_is_refused_with_its_install_line(
    seeded: TestClient, runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    document = assert_problem(
        seeded.post("/api/v1/jobs", json={**PROFILE, "runtime": runtime}), 422, "#/runtime"
    )
    assert 'pip install "stitchnas[openvino]"' in document["detail"]
    assert seeded.get("/api/v1/jobs").json()["items"] == []


@pytest.mark.parametrize("runtime", ["cuda", "cuda-graph"])
def test_a_gpu_that_is_not_there_is_refused(
    seeded: TestClient, runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda package: "2.13.0+cpu")
    document = assert_problem(
        seeded.post("/api/v1/jobs", json={**PROFILE, "runtime": runtime}), 422, "#/runtime"
    )
    assert "torch 2.13.0+cpu was built without" in document["detail"]


def test_int8_is_a_device_of_its_own(seeded: TestClient) -> None:
    jobs = [
        seeded.post("/api/v1/jobs", json={**PROFILE, "runtime": runtime}).json()
        for runtime in ("onnxruntime", "onnxruntime-int8")
    ]
    assert jobs[1]["payload"]["device"] == f"{jobs[0]['payload']['device']}-int8"
