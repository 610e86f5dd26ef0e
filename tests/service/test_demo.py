"""``nas demo --pretrained`` and ``nas import-supernet``, as people call them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli import app
from service.commands.demo import _pretrained_source
from service.plot import front_chart
from tests.service.checkpoints import write_checkpoint_folder
from tests.service.conftest import Live

runner = CliRunner()


def test_a_missing_checkpoint_is_named_before_anything_starts(tmp_path: Path) -> None:
    missing = tmp_path / "no-such"
    done = runner.invoke(
        app, ["demo", "--pretrained", "--checkpoint", str(missing), "--folder", str(tmp_path / "out")]
    )
    assert done.exit_code == 1
    assert f"{missing}: there is no trained supernet" in done.stderr.replace("\n", "")
    assert not (tmp_path / "out").exists()


def test_images_are_those_of_cifar10_where_only_a_path_is_given(tmp_path: Path) -> None:
    assert _pretrained_source(None, None) is None
    assert _pretrained_source(None, tmp_path) == f"cifar10:{tmp_path}"
    assert _pretrained_source("digits", None) == "digits"


def test_import_takes_the_name_of_the_folder(live: Live, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    done = runner.invoke(app, ["import-supernet", str(tmp_path / "mine"), "--json", "--server", live.url])
    assert done.exit_code == 0, done.output
    payload = json.loads(done.stdout)["payload"]
    assert (payload["supernet"], payload["data"]) == ("mine", None)
    assert payload["checkpoint"] == str(tmp_path / "mine")
    done = runner.invoke(app, ["import-supernet", str(tmp_path / "nowhere"), "--server", live.url])
    assert done.exit_code == 1
    assert "#/checkpoint: its path does not exist" in done.stderr


@pytest.mark.parametrize(("source", "title"), [("predicted", "predicted"), ("evaluated", "validation")])
def test_charts_say_where_accuracies_come_from(source: str, title: str) -> None:
    point = {
        "study_id": "s",
        "subnet_id": "t:0",
        "top1": 0.9,
        "top1_source": source,
        "test_top1": None,
        "latency_ms": 1.0,
        "latency_source": "measured",
        "latency_low_ms": 0.9,
        "latency_high_ms": 1.1,
    }
    assert front_chart([point], title="x")["encoding"]["y"]["title"] == f"{title} top-1"


@pytest.mark.slow
def test_the_demonstration_needs_no_images(tmp_path: Path) -> None:
    write_checkpoint_folder(tmp_path / "tiny")
    arguments = ["--checkpoint", str(tmp_path / "tiny"), "--folder", str(tmp_path / "out")]
    done = runner.invoke(app, ["demo", "--pretrained", *arguments])
    assert done.exit_code == 0, done.output
    assert "predicted" in done.stdout
    assert "6/6  Verify it" in done.stdout
    assert (tmp_path / "out" / "front.png").stat().st_size > 1000
