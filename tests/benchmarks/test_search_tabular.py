"""The tabular benchmark on a small made-up table: its metric, its JSON, its refusals."""

from __future__ import annotations

import json
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from benchmarks import search_tabular
from benchmarks.tabular.run import Run, curve
from benchmarks.tabular.summary import summarize
from benchmarks.tabular.task import RecordedLatency, load_task
from searchspaces.errors import TableError
from searchspaces.genes import archs_of

OPERATORS = ["none", "skip_connect", "nor_conv_3x3"]
EDGES = ["edge_0_1", "edge_0_2", "edge_1_2"]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """27 cells with three nodes; more convolutions are more accurate and slower."""
    genes = np.array(list(product(range(3), repeat=3)), dtype=np.int16)
    convolutions = (genes == 2).sum(axis=1)
    path = tmp_path / "cells.npz"
    np.savez(
        path,
        genes=genes,
        choices=np.array(json.dumps([{"name": name, "values": OPERATORS} for name in EDGES])),
        devices=np.array(["fast", "slow"]),
        latency_ms=np.stack([1.0 + convolutions, 10.0 + 3 * convolutions + genes[:, 0]], axis=1),
        top1_toy=(0.5 + 0.1 * convolutions + 0.01 * genes[:, 1]).astype(np.float32),
    )
    return path


def test_all_archs_reach_the_whole_front_and_invalid_ones_gain_nothing(table: Path) -> None:
    task = load_task(table, "toy", "slow")
    dead = [arch for arch, row in task.row.items() if not task.valid[row]]
    alive = [arch for arch, row in task.row.items() if task.valid[row]]
    assert len(dead) == 5  # node 2 unreached: edge 0-2 cut, and edge 0-1 or edge 1-2
    assert all(evaluation.error for evaluation in task.evaluate(dead))
    shares = curve(task, [*dead, *alive])
    assert shares[: len(dead)].tolist() == [0.0] * len(dead)
    assert (np.diff(shares) >= -1e-12).all()
    assert shares[-1] == pytest.approx(1.0)


def test_the_worst_is_the_reference_and_latency_counts_by_ratios(table: Path) -> None:
    task = load_task(table, "toy", "fast")
    points = task.points(np.flatnonzero(task.valid).tolist())
    assert points.min(axis=0).tolist() == [0.0, 0.0]
    assert points.max(axis=0) == pytest.approx([1.0, 1.0])
    row = int(np.flatnonzero(task.valid & (task.latency_ms == 2.0))[0])
    assert task.points([row])[0, 1] == pytest.approx(np.log(2) / np.log(task.latency_ms[task.valid].max()))


def test_free_latency_is_the_recorded_one(table: Path) -> None:
    task = load_task(table, "toy", "slow")
    archs = archs_of(task.space, np.array([[2, 2, 2], [1, 1, 1]]))
    assert RecordedLatency(task).predict(archs).mean.tolist() == [21.0, 11.0]


def test_medians_are_null_where_the_median_run_did_not_get_there() -> None:
    good, bad = np.array([0.5, 0.96, 0.9995]), np.array([0.5, 0.6, 0.7])
    found = summarize([Run(good, 1.0), Run(bad, 3.0), Run(bad, 2.0)])
    assert found["evaluations_to"] == dict.fromkeys(("0.90", "0.95", "0.99", "0.995", "0.999"))
    assert found["reached"]["0.95"] == pytest.approx(1 / 3)
    assert found["cpu_seconds_per_run"] == pytest.approx(2.0)
    assert found["hypervolume_at"]["50"] is None
    assert summarize([Run(good, 1.0)])["evaluations_to"]["0.95"] == 2.0


def run(monkeypatch: pytest.MonkeyPatch, table: Path, *changes: str) -> None:
    arguments = ["--table", str(table), "--dataset", "toy", "--devices", "all", "--evaluations", "20"]
    monkeypatch.setattr(sys, "argv", ["search_tabular", *arguments, "--batch", "5", "--seeds", "2", *changes])
    search_tabular.main()


@pytest.mark.parametrize("latency", ["free", "costly"])
def test_json_holds_every_searcher_that_ran(
    monkeypatch: pytest.MonkeyPatch,
    table: Path,
    tmp_path: Path,
    latency: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "results" / "out.json"
    names = "guided,random,dynast-linas"
    run(monkeypatch, table, "--searcher", names, "--latency", latency, "--json", str(out))
    document = json.loads(out.read_text())
    assert set(document["searchers"]) == {"guided", "random"}
    assert set(document["searchers"]["guided"]) == {
        "evaluations_to", "reached", "hypervolume_at", "cpu_seconds_per_run"
    }  # fmt: skip
    assert document["searchers"]["guided"]["reached"]["0.95"] == 1.0
    assert "dynast-linas: skipped" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (("--dataset", "imagenet"), "top1_imagenet"),
        (("--devices", "fast,phone"), "phone"),
        (("--searcher", "magic"), "magic"),
        (("--table", "nowhere.npz"), "nowhere.npz"),
    ],
)
def test_what_is_not_there_is_named_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch, table: Path, changes: tuple[str, ...], named: str
) -> None:
    with pytest.raises(SystemExit, match=named):
        run(monkeypatch, table, *changes)


def test_a_table_where_all_archs_are_alike_is_refused(table: Path, tmp_path: Path) -> None:
    arrays = dict(np.load(table))
    arrays["top1_toy"] = np.full(27, 0.5, dtype=np.float32)
    flat = tmp_path / "flat.npz"
    np.savez(flat, **arrays)
    with pytest.raises(TableError, match="same for every arch"):
        load_task(flat, "toy", "fast")
