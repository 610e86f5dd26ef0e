"""Deny by default: with a token configured every route but the health ones asks for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from service.app import create_app, openapi_document
from service.settings import load_settings
from tests.service.conftest import Live, start_server, stop_server

TOKEN = "a-token-of-enough-characters"
PUBLIC = {"/healthz", "/readyz"}
STATIC = {"/", "/dashboard", "/dashboard/", "/dashboard/{name}"}  # files of the package, no data
VALUES = {
    "job_id": "0" * 32, "name": "x", "study_id": "x", "subnet_id": "x:0123456789abcdef", "sha256": "0" * 64,
    "task_id": f"{'0' * 32}-0",
}  # fmt: skip


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[TestClient]:
    app = create_app(load_settings(data_dir=tmp_path, token=TOKEN))
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        yield client


def all_routes(app: FastAPI) -> list[tuple[str, str]]:
    found = [
        (method.upper(), path.format(**VALUES))
        for path, item in openapi_document(app)["paths"].items()
        for method in item
    ]
    return [*found, ("GET", "/api/v1/openapi.json")]


def test_every_route_but_health_is_refused_without_the_token(guarded: TestClient) -> None:
    routes = all_routes(guarded.app)  # type: ignore[arg-type]
    assert len(routes) > 20
    for method, path in routes:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
            body = {"kind": "train", "supernet": "x", "data": "digits"} if method == "POST" else None
            response = guarded.request(method, path, headers=headers, json=body)
            if path in PUBLIC:
                assert response.status_code == 200
            else:
                assert response.status_code == 401, (method, path)
                assert response.headers["www-authenticate"] == "Bearer"
                assert response.headers["content-type"] == "application/problem+json"


def test_no_route_hides_from_the_document(app: FastAPI) -> None:
    def walk(routes: Iterable[object]) -> Iterator[object]:
        for route in routes:
            included = getattr(route, "original_router", None)
            if included is None:
                yield route
            else:
                yield from walk(included.routes)

    routes = list(walk(app.routes))
    assert all(isinstance(route, APIRoute) for route in routes)
    documented = [method for item in openapi_document(app)["paths"].values() for method in item]
    hidden = {route.path for route in routes if isinstance(route, APIRoute) and not route.include_in_schema}
    assert hidden == {"/api/v1/openapi.json", *STATIC}
    assert len(routes) == len(documented) + len(hidden)


def test_the_token_opens_every_route(guarded: TestClient) -> None:
    for method, path in all_routes(guarded.app):  # type: ignore[arg-type]
        response = guarded.request(method, path, headers={"Authorization": f"Bearer {TOKEN}"})
        assert response.status_code != 401, (method, path)


def test_token_works_over_http_and_stays_out_of_the_log(tmp_path: Path) -> None:
    from service.client import Client
    from service.errors import ProblemError

    server: Live = start_server(tmp_path, "--no-worker", NAS_TOKEN=TOKEN)
    try:
        with Client(server.url, token=TOKEN) as client:
            assert client.spaces()
        with Client(server.url, token="wrong") as client, pytest.raises(ProblemError) as caught:
            client.spaces()
        assert caught.value.status == 401
    finally:
        stop_server(server)
    assert TOKEN not in (tmp_path / "server.log").read_text()
