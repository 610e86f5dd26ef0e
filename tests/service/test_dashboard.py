"""The dashboard's files: how they are served, what they may not contain, and that a wheel has them."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import load_settings

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "service" / "dashboard"
FILES = sorted(file.name for file in FOLDER.iterdir())
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
SCRIPTS = [name for name in FILES if name.endswith(".js")]


@pytest.mark.parametrize("name", FILES)
def test_file_is_served_with_its_type_and_safe_headers(http: TestClient, name: str) -> None:
    response = http.get(f"/dashboard/{name}")
    assert response.status_code == 200
    assert response.content == (FOLDER / name).read_bytes()
    assert response.headers["content-type"] == TYPES[Path(name).suffix]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["content-security-policy"] == (
        "default-src 'self'; object-src 'none'; frame-ancestors 'none'; base-uri 'none'"
    )
    again = http.get(f"/dashboard/{name}", headers={"If-None-Match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert http.head(f"/dashboard/{name}").headers["content-length"] == response.headers["content-length"]


@pytest.mark.parametrize("path", ["/", "/dashboard"])
def test_short_addresses_lead_to_the_page(http: TestClient, path: str) -> None:
    response = http.get(path, follow_redirects=False)
    assert (response.status_code, response.headers["location"]) == (307, "/dashboard/")
    assert http.get(path).text.startswith("<!doctype html>")


@pytest.mark.parametrize(
    "name",
    ["none.js", "..%2fapp.py", "%2e%2e/app.py", "..%5capp.py", "%2fetc%2fpasswd", "__init__.py", "app.js%00"],
)
def test_nothing_else_is_served(http: TestClient, name: str) -> None:
    response = http.get(f"/dashboard/{name}")
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"


def test_pages_are_public_and_data_are_not(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path, token="0123456789abcdef")
    with TestClient(create_app(settings), base_url="http://127.0.0.1") as http:
        assert http.get("/dashboard/").status_code == 200
        assert http.get("/api/v1/fronts").status_code == 401


def test_dashboard_is_no_part_of_the_api_document(app: FastAPI) -> None:
    assert [path for path in app.openapi()["paths"] if not path.startswith("/api/v1/")] == [
        "/healthz",
        "/readyz",
    ]


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_script_can_turn_text_into_markup_or_code(name: str) -> None:
    text = (FOLDER / name).read_text()
    assert not re.search(
        r"(inner|outer)HTML|insertAdjacentHTML|document\.write|DOMParser|\beval\b|new Function", text
    )


def test_nothing_is_loaded_from_elsewhere() -> None:
    found = {
        url for name in FILES for url in re.findall(r"https?://[^\s\"'`<>)]+", (FOLDER / name).read_text())
    }
    assert found == {
        "http://www.w3.org/2000/svg",
        "http://127.0.0.1:8000",
    }  # a namespace and the CLI's default


def test_every_import_and_link_is_a_file(http: TestClient) -> None:
    html = (FOLDER / "index.html").read_text()
    linked = re.findall(r'(?:href|src)="([^"#]+)"', html)
    imported = [
        path for name in SCRIPTS for path in re.findall(r'from "\./([^"]+)"', (FOLDER / name).read_text())
    ]
    assert set(SCRIPTS) <= {*linked, *imported} <= set(FILES)


def test_wheel_has_every_file(tmp_path: Path) -> None:
    wheel = pytest.importorskip("hatchling.builders.wheel", reason="hatchling builds the wheel")
    (built,) = wheel.WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(built) as archive:
        packed = {name for name in archive.namelist() if name.startswith("service/dashboard/")}
    assert packed == {f"service/dashboard/{name}" for name in FILES}
