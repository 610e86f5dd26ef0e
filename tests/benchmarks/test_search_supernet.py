"""The script that counts how many evaluations of a real supernet a searcher needs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import search_supernet
from nas.data.load import load_data
from nas.errors import ConfigError, DataError
from nas.evaluate.prefix.evaluator import PrefixEvaluator
from nas.supernet.checkpoint import save_supernet
from nas.supernet.supernet import Supernet
from predictors.device import Device
from predictors.latency import LatencyPredictor
from searchspaces.cost import cost
from searchspaces.registry import get_space

SPACE = get_space("hybrid-tiny")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An untrained supernet, and a predictor of times that follow multiply-adds."""
    torch.manual_seed(0)
    checkpoint, latency = tmp_path_factory.mktemp("checkpoint"), tmp_path_factory.mktemp("latency")
    data = load_data("digits")
    save_supernet(
        checkpoint, Supernet(SPACE, n_classes=10, in_channels=1), info={"data_digest": data.digest, "seed": 0}
    )
    rng = np.random.default_rng(0)
    archs = [SPACE.sample(rng) for _ in range(30)]
    costs = [cost(SPACE.decode(arch), in_channels=1, n_classes=10).macs for arch in archs]
    predictor = LatencyPredictor(SPACE, Device("fake", "none", "fake", "1"))
    predictor.fit(archs, 0.05 + np.array(costs) / 1e6)
    predictor.save(latency)
    return checkpoint, latency


def run(
    monkeypatch: pytest.MonkeyPatch, folders: tuple[Path, Path], folder: Path, **options: object
) -> dict[str, Any]:
    given = {
        "checkpoint": folders[0],
        "latency": folders[1],
        "data": "digits",
        "runs": "guided:12,random:8",
        "seeds": 2,
        "batch": 4,
        "images": 20,
        "log": folder / "log.jsonl",
        "json": folder / "out.json",
        **options,
    }
    arguments = [text for name, value in given.items() for text in (f"--{name}", str(value))]
    monkeypatch.setattr(sys, "argv", ["search_supernet", *arguments])
    search_supernet.main()
    found: dict[str, Any] = json.loads((folder / "out.json").read_text())
    return found


def test_a_stopped_run_goes_on_and_ends_the_same(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(monkeypatch, folders, tmp_path)
    for name, budget in (("guided", 12), ("random", 8)):
        row = whole["searchers"][name]
        assert row["budget"] == budget
        assert len(row["hypervolume_of_seeds"]) == 2
        assert all(0 < share <= 1 for share in row["hypervolume_of_seeds"])
    log = (tmp_path / "log.jsonl").read_text()
    lines = log.splitlines(keepends=True)
    assert len(lines) == 1 + whole["settings"]["evaluated"]
    (tmp_path / "log.jsonl").write_text("".join(lines[:10]) + lines[10][:9])  # killed within a line
    seen = []
    evaluate = PrefixEvaluator.evaluate
    monkeypatch.setattr(
        PrefixEvaluator, "evaluate", lambda self, archs: seen.extend(archs) or evaluate(self, archs)
    )
    again = run(monkeypatch, folders, tmp_path)
    assert len(seen) == len(lines) - 10
    assert (tmp_path / "log.jsonl").read_text() == log
    for document in (whole, again):
        for row in document["searchers"].values():
            del row["cpu_seconds_per_run"]
    assert again == whole


def test_other_data_and_broken_budgets_are_refused(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="searcher:budget"):
        run(monkeypatch, folders, tmp_path, runs="guided")
    (tmp_path / "log.jsonl").write_text('{"images": 1}\n')
    with pytest.raises(DataError, match=r"log\.jsonl: was written with"):
        run(monkeypatch, folders, tmp_path)
    assert (tmp_path / "log.jsonl").read_text() == '{"images": 1}\n'
