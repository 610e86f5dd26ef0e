from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import db
import nas
import predictors
import searchspaces
import service
from searchspaces.errors import NasError
from service.errors import STATUS, SettingsError, status_of
from service.settings import load_settings


def test_defaults_stay_on_loopback_and_in_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings()
    assert settings.host == "127.0.0.1"
    assert settings.database == f"sqlite:///{tmp_path}/nas-data/nas.db"
    assert settings.artifacts_url == f"{tmp_path}/nas-data/artifacts"


def test_variables_and_overrides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NAS_PORT", "1234")
    monkeypatch.setenv("NAS_DATABASE_URL", "postgresql+psycopg://u:secret@h/d")
    assert load_settings().port == 1234
    settings = load_settings(port=99, data_dir=tmp_path, host=None)
    assert (settings.port, settings.folder) == (99, tmp_path)
    assert "secret" not in repr(settings)
    assert settings.environment()["NAS_DATA_DIR"] == str(tmp_path)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "nas.example"])
def test_other_machines_need_a_token(host: str) -> None:
    with pytest.raises(SettingsError, match=host):
        load_settings(host=host)
    assert "sesame" not in repr(load_settings(host=host, token="sesame-sesame-sesame"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("port", 70000),
        ("token", "short"),
        ("runner", "a; rm"),
        ("lease_ttl_s", 30.0),
        ("heartbeat_s", 0),
        ("ray_actors", 0),
    ],
)
def test_bad_settings_are_named(field: str, value: object) -> None:
    with pytest.raises(SettingsError, match=field):
        load_settings(**{field: value})


def test_serve_refuses_to_start_unsafely(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "service.cli",
        "serve",
        "--host",
        "0.0.0.0",
        "--data-dir",
        str(tmp_path / "d"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "NAS_TOKEN" in done.stderr
    assert not (tmp_path / "d").exists()


def error_classes() -> Iterator[type[NasError]]:
    for package in (searchspaces, predictors, nas, db, service):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.rpartition(".")[2] == "errors":
                importlib.import_module(module.name)
    waiting = [NasError]
    while waiting:
        for child in waiting.pop().__subclasses__():
            if child.__module__.split(".")[0] in ("searchspaces", "predictors", "nas", "db", "service"):
                waiting.append(child)
                yield child


def test_every_error_has_a_status_and_a_builtin_parent() -> None:
    classes = list(error_classes())
    assert len(classes) > 30
    for cls in classes:
        assert cls in STATUS, cls
        assert any(base.__module__ == "builtins" and base is not Exception for base in cls.__mro__[1:-3]), cls
        assert 400 <= STATUS[cls] < 600


def test_status_of_an_unlisted_subclass_is_its_parents() -> None:
    class SpecialError(SettingsError):
        pass

    assert status_of(SpecialError("x")) == STATUS[SettingsError]
    assert status_of(NasError("x")) == 500


def test_api_process_and_command_line_load_neither_torch_nor_ray(tmp_path: Path) -> None:
    code = """
import sys
from fastapi.testclient import TestClient
import service.cli, service.client, service.worker, service.runner
from service.app import create_app
from service.settings import load_settings
with TestClient(create_app(load_settings()), base_url="http://127.0.0.1") as http:
    for path in ("/readyz", "/api/v1/spaces", "/api/v1/searchers", "/api/v1/fronts", "/api/v1/jobs"):
        assert http.get(path).status_code == 200, path
    for body in ({"kind": "train", "supernet": "x", "data": "digits", "config": {"epochs": 1}},
                 {"kind": "search", "supernet": "x", "budget": 1}):
        assert http.post("/api/v1/jobs", json=body).status_code in (202, 422)
heavy = {"torch", "ray", "optuna", "nni", "pandas", "onnx", "onnxruntime", "sklearn"} & set(sys.modules)
assert not heavy, heavy
"""
    environment = {"NAS_DATA_DIR": str(tmp_path), "PATH": "/usr/bin:/bin", "PYTHONPATH": "."}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
