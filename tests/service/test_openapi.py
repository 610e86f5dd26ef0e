"""The OpenAPI document: committed, complete, and true of a live server (schemathesis)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CheckFunction
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from service.app import openapi_document
from service.stores import open_database, open_stores
from tests.service.conftest import seed_front, seed_records, start_server, stop_server

GOLDEN = Path(__file__).parents[1] / "golden" / "openapi.json"
NOT_HTTP = "Invalid HTTP request received."  # from uvicorn: the app never saw the request
CHECKS: list[CheckFunction] = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


def test_document_is_the_committed_one(app: FastAPI) -> None:
    document = json.loads(json.dumps(openapi_document(app)))
    assert document == json.loads(GOLDEN.read_text()), (
        "the API changed: if that is meant, run `nas openapi > tests/golden/openapi.json`"
    )


def test_every_operation_has_an_id_a_summary_and_problems(app: FastAPI) -> None:
    found = operations(openapi_document(app))
    ids = [operation["operationId"] for operation in found.values()]
    assert len(set(ids)) == len(ids) == len(found)
    for name, operation in found.items():
        assert operation["summary"], name
        assert "application/problem+json" in operation["responses"]["default"]["content"], name
        assert not any("HTTPValidationError" in json.dumps(r) for r in operation["responses"].values()), name


def test_every_reference_resolves(app: FastAPI) -> None:
    document = openapi_document(app)
    references = set()

    def collect(value: object) -> None:
        if isinstance(value, dict):
            if "$ref" in value:
                references.add(value["$ref"])
            for child in value.values():
                collect(child)
        elif isinstance(value, list):
            for child in value:
                collect(child)

    collect(document)
    names = {reference.removeprefix("#/components/schemas/") for reference in references}
    assert names <= set(document["components"]["schemas"])


@pytest.fixture(scope="module")
def api_schema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    server = start_server(tmp_path_factory.mktemp("fuzz"), "--no-worker")
    database = open_database(server.settings())
    stores = open_stores(database, server.settings())
    seed_records(stores)
    seed_front(stores)
    database.close()
    yield schemathesis.openapi.from_url(f"{server.url}/api/v1/openapi.json")
    stop_server(server)


CASES = [
    (name, mode)
    for name, operation in sorted(operations(json.loads(GOLDEN.read_text())).items())
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or "parameters" in operation or "requestBody" in operation
]


@pytest.mark.parametrize(("name", "mode"), CASES)
def test_no_request_is_a_server_error_and_answers_are_as_documented(
    api_schema: Any, name: str, mode: GenerationMode
) -> None:
    method, path = name.split(" ")

    @settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=api_schema[path][method].as_strategy(generation_mode=mode))
    def check(case: schemathesis.Case) -> None:
        response = case.call(timeout=30)
        if response.text != NOT_HTTP:
            case.validate_response(response, checks=CHECKS)

    check()
