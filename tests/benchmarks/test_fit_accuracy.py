"""The script that gives a checkpoint its calibration images and accuracy predictor."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from benchmarks import fit_accuracy
from nas.data.load import load_data
from nas.errors import DataError
from nas.evaluate.accuracy import SupernetEvaluator
from nas.supernet.calibration import load_calibration
from nas.supernet.checkpoint import save_supernet
from nas.supernet.supernet import Supernet
from predictors.accuracy.predictor import AccuracyPredictor
from searchspaces.registry import get_space

SPACE = get_space("hybrid-tiny")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("checkpoint")
    data = load_data("digits")
    info = {"data_digest": data.digest, "classes": list(data.classes), "seed": 0}
    save_supernet(folder, Supernet(SPACE, n_classes=10, in_channels=1), info=info)
    return folder


def run(monkeypatch: pytest.MonkeyPatch, checkpoint: Path, log: Path, **options: object) -> None:
    given = {"checkpoint": checkpoint, "data": "digits", "subnets": 20, "images": 300, "log": log, **options}
    arguments = [text for name, value in given.items() for text in (f"--{name}", str(value))]
    monkeypatch.setattr(sys, "argv", ["fit_accuracy", *arguments])
    fit_accuracy.main()


def test_a_stopped_run_goes_on_and_ends_the_same(
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    log = tmp_path / "log.jsonl"
    run(monkeypatch, checkpoint, log)
    whole = log.read_text()
    assert '"n_test": 20' in capsys.readouterr().out
    digest = AccuracyPredictor.load(checkpoint / "accuracy", SPACE).save(tmp_path / "first")
    assert len(load_calibration(checkpoint)) == 2
    lines = whole.splitlines(keepends=True)
    log.write_text("".join(lines[:18]) + lines[18][:9])  # killed in the middle of a line
    seen = []
    evaluate = SupernetEvaluator.evaluate
    monkeypatch.setattr(
        SupernetEvaluator, "evaluate", lambda self, archs: seen.extend(archs) or evaluate(self, archs)
    )
    run(monkeypatch, checkpoint, log)
    assert len(seen) == 3
    assert log.read_text() == whole
    assert AccuracyPredictor.load(checkpoint / "accuracy", SPACE).save(tmp_path / "second") == digest


def test_likelihood_has_a_predictor_of_its_own(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(monkeypatch, checkpoint, tmp_path / "log.jsonl", metric="likelihood", out=tmp_path)
    assert '"likelihood": 0.' in (tmp_path / "log.jsonl").read_text()
    predictor = AccuracyPredictor.load(tmp_path / "likelihood", SPACE)
    assert predictor.n_archs == 20
    assert predictor.predict([SPACE.extreme(largest=True)]).mean[0] == pytest.approx(0.1, abs=0.05)
    assert not (tmp_path / "accuracy").exists()


def test_a_log_of_other_settings_is_refused(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"images": 1}\n')
    with pytest.raises(DataError, match=r"log\.jsonl: was written with"):
        run(monkeypatch, checkpoint, log)
    assert log.read_text() == '{"images": 1}\n'
