"""Which paths a train job may name: any for the people of this machine, else those in NAS_DATA_ROOTS."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.errors import SettingsError
from service.settings import load_settings
from tests.service.test_bad_input import assert_problem

TOKEN = "a-token-of-enough-characters"
Submit = Callable[[str], Any]
Serve = Callable[..., Submit]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """``serve(**settings)`` gives a function that submits a train job for a data source."""
    with ExitStack() as stack:

        def start(**given: object) -> Submit:
            app = create_app(load_settings(data_dir=tmp_path / "data", **given))
            http = stack.enter_context(
                TestClient(app, base_url="http://127.0.0.1", headers={"Authorization": f"Bearer {TOKEN}"})
            )
            body = {"kind": "train", "supernet": "new"}
            return lambda data: http.post("/api/v1/jobs", json={**body, "data": data})

        yield start


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    inside, outside = tmp_path / "roots" / "images", tmp_path / "elsewhere"
    for folder in (inside, outside):
        folder.mkdir(parents=True)
    (inside / "way-out").symlink_to(outside)
    return inside, outside


def test_people_of_this_machine_name_any_path(serve: Serve, folders: tuple[Path, Path]) -> None:
    assert serve()(f"imagefolder:{folders[1]}").status_code == 202


def test_roots_bound_the_paths(serve: Serve, folders: tuple[Path, Path]) -> None:
    inside, outside = folders
    submit = serve(data_roots=str(inside.parent))
    outsiders = (
        outside,
        f"{inside}/../../elsewhere",
        inside / "way-out",
        f"{inside.parent}-2",
        os.path.relpath(inside),
        "/no/such/folder",
        "~no-such-user/images",
    )
    for path in outsiders:
        assert "NAS_DATA_ROOTS" in assert_problem(submit(f"imagefolder:{path}"), 422, "#/data")["detail"]
    for missing in ("none", "x" * 300):
        problem = assert_problem(submit(f"imagefolder:{inside}/{missing}"), 422, "#/data")
        assert "does not exist" in problem["detail"]
    assert submit(f"imagefolder:{inside}?size=32").status_code == 202


@pytest.mark.parametrize("given", [{"host": "0.0.0.0", "token": TOKEN}, {"token": TOKEN}])
def test_others_name_no_path_until_roots_are_set(
    given: dict[str, str], serve: Serve, folders: tuple[Path, Path]
) -> None:
    submit = serve(**given)
    problem = assert_problem(submit(f"imagefolder:{folders[0]}"), 422, "#/data")
    assert "NAS_DATA_ROOTS" in problem["detail"]
    with_roots = serve(data_roots=[folders[0]], **given)
    assert with_roots(f"imagefolder:{folders[0]}").status_code == 202


def test_sources_without_a_path_need_no_roots(serve: Serve) -> None:
    assert serve(token=TOKEN)("digits").status_code == 202


@pytest.mark.parametrize("text", ["{0}" + os.pathsep + "{1}", '["{0}", "{1}"]'])
def test_roots_are_a_path_list_or_json(
    text: str, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAS_DATA_ROOTS", text.format(*folders))
    assert load_settings().data_roots == folders
    assert load_settings(port=1).data_roots == folders


@pytest.mark.parametrize("text", ["images", "/a" + os.pathsep, "[", '["/a", 3]', "~no-such-user/images"])
def test_bad_roots_are_named(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAS_DATA_ROOTS", text)
    with pytest.raises(SettingsError, match="data_roots"):
        load_settings()
