from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import latency_transfer
from benchmarks.latency_transfer import DEFAULT, METHODS, METRICS, Oracle
from benchmarks.transfer_task import read_table
from predictors.errors import InvalidValueError

OPTIONS = ["k3_e1", "k3_e3", "k5_e6", "skip"]
DEVICES = ["a", "b", "c", "d"]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A chain of eight layers whose costs the devices mostly share."""
    rng = np.random.default_rng(0)
    genes = rng.integers(4, size=(400, 8))
    cost = np.array([1.0, 2.0, 5.0, 0.1]) * rng.uniform(0.5, 2, (8, 1))
    latency = np.empty((400, 4))
    for i in range(4):
        own = cost * rng.lognormal(0, 0.2, cost.shape)
        latency[:, i] = own[np.arange(8), genes].sum(1) * rng.lognormal(0, 0.01, 400)
    path = tmp_path / "table.npz"
    choices = json.dumps([{"name": f"layer_{i}", "values": OPTIONS} for i in range(8)])
    np.savez(path, genes=genes.astype(np.int16), choices=choices, devices=DEVICES, latency_ms=latency)
    return path


def test_every_method_is_judged_in_one_run(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out" / "result.json"
    options = f"--table {table} --sources a,b --targets c,d --samples 8 --source-samples 100 --seeds 1"
    monkeypatch.setattr(sys, "argv", ["x", *options.split(), "--json", str(out), "--method", "all"])
    monkeypatch.setattr(latency_transfer, "MILLION", 1000)
    latency_transfer.main()
    document = json.loads(out.read_text())
    assert document["default"] == DEFAULT
    assert set(document["methods"]) == set(METHODS)
    for found in document["methods"].values():
        assert set(found["mean"]) == set(METRICS)
        assert set(found["targets"]) == {"c", "d"}
        assert found["fit_seconds"] > 0
        assert found["predict_seconds_per_million"] > 0
    assert document["methods"][DEFAULT]["mean"]["spearman"] > 0.93
    assert document["methods"][DEFAULT]["mean"]["within_10"] > 0.5


def test_the_target_is_behind_an_oracle_that_counts() -> None:
    oracle = Oracle(np.arange(10.0), 3)
    assert oracle.measure([2, 4]).tolist() == [2.0, 4.0]
    with pytest.raises(RuntimeError, match="asked for 4 values"):
        oracle.measure([1, 3])


def test_unknown_devices_and_bad_genes_are_refused(table: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="no device 'z'; it has a, b, c, d"):
        read_table(table).values("z")
    arrays = dict(np.load(table))
    for name, change in (("genes", arrays["genes"] + 4), ("latency_ms", arrays["latency_ms"][:5])):
        np.savez(tmp_path / "bad.npz", **{**arrays, name: change})
        with pytest.raises(InvalidValueError):
            read_table(tmp_path / "bad.npz")
