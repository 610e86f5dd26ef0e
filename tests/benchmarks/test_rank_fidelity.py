"""The ranking benchmark's command line, on a made-up table, noise for images and an untrained supernet."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from benchmarks import rank_fidelity
from nas.errors import FidelityError
from nas.fidelity.alone import FILE
from nas.fidelity.report import FidelityReport
from nas.fidelity.runs import StandaloneRun, StandaloneRuns
from nas.supernet.checkpoint import save_supernet
from nas.supernet.supernet import Supernet
from searchspaces.errors import TableError
from searchspaces.registry import get_space
from searchspaces.space import SearchSpace

SPACE = get_space("nats-size-d4-r16")
SUBNETS = 12


def png(rng: np.random.Generator) -> dict[str, bytes]:
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(file, "PNG")
    return {"bytes": file.getvalue()}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in CIFAR-10's layout."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for part, n in (("train", 120), ("test", 20)):
        columns = {"img": [png(rng) for _ in range(n)], "label": [i % 10 for i in range(n)]}
        pq.write_table(pa.table(columns), folder / f"{part}-00000-of-00001.parquet")
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("checkpoint")
    save_supernet(folder, Supernet(SPACE, n_classes=10, in_channels=3), info={})
    return folder


def table(path: Path, space: SearchSpace) -> Path:
    """Random archs of the space; the larger their genes, the more accurate."""
    rng = np.random.default_rng(1)
    genes = np.array([space.sample(rng).genes for _ in range(2 * SUBNETS)], dtype=np.int16)
    choices = [{"name": choice.name, "values": list(choice.values)} for choice in space.choices]
    np.savez(
        path,
        genes=genes,
        choices=np.array(json.dumps(choices)),
        devices=np.array([], dtype="U1"),
        latency_ms=np.zeros((len(genes), 0)),
        top1_cifar10=(0.5 + genes.sum(1) / 100).astype(np.float32),
    )
    return path


def run(monkeypatch: pytest.MonkeyPatch, **options: object) -> None:
    given = {"space": "nats-size", "subnets": SUBNETS, "images": 40, "seed": 3, **options}
    arguments = [text for name, value in given.items() for text in (f"--{name}", str(value))]
    monkeypatch.setattr(sys, "argv", ["rank_fidelity", *arguments])
    rank_fidelity.main()


def test_the_json_holds_the_ranking_its_intervals_and_the_proxies(
    images: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, report = tmp_path / "out.json", tmp_path / "fidelity.json"
    path = table(tmp_path / "sizes.npz", SPACE)
    run(monkeypatch, table=path, data=images, checkpoint=checkpoint, json=out, report=report)
    found = json.loads(out.read_text())
    assert list(found) == [
        "space", "subnets", "spearman", "kendall_tau", "interval", "top_regret", "proxies"
    ]  # fmt: skip
    assert (found["space"], found["subnets"]) == ("nats-size", SUBNETS)
    assert set(found["interval"]) == {"spearman", "kendall_tau"}
    low, high = found["interval"]["spearman"]
    assert -1 <= low <= found["spearman"] <= high <= 1
    assert found["top_regret"] >= 0
    assert {"params", "macs", "log_widths"} <= set(found["proxies"])
    assert all(set(proxy) == {"spearman", "kendall_tau"} for proxy in found["proxies"].values())
    assert FidelityReport.from_json(report.read_text()).space == SPACE.id


def test_a_table_of_another_space_is_refused_before_anything_is_evaluated(
    images: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = table(tmp_path / "cells.npz", get_space("nasbench201"))
    with pytest.raises(TableError, match="nats-size"):
        run(monkeypatch, table=path, data=images, checkpoint=checkpoint, json=tmp_path / "out.json")
    assert not (tmp_path / "out.json").exists()


def runs_alone(path: Path, space: SearchSpace, seeds: range) -> Path:
    """Subnets that reached the more, the larger their images."""
    runs = StandaloneRuns(space.id, {"epochs": 1, "train_images": 100})
    for seed in seeds:
        arch = space.sample(np.random.default_rng(seed))
        top1 = space.decode(arch).resolution / 100 + seed / 10_000
        runs = runs.with_run(StandaloneRun(arch.key, arch.genes, top1, 1.0, 1, 1, 1))
    runs.save(path)
    return path


def test_other_subnets_trained_alone_predict_those_of_the_truth(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space, out = get_space("hybrid-cifar"), tmp_path / "out.json"
    save_supernet(tmp_path, Supernet(space, n_classes=10, in_channels=3), info={})
    runs_alone(tmp_path / FILE, space, range(24))
    truth = runs_alone(tmp_path / "truth.json", space, range(100, 112))
    given = {"space": "hybrid", "data": images, "checkpoint": tmp_path, "json": out}
    run(monkeypatch, truth=truth, **given)
    found = json.loads(out.read_text())
    assert found["spearman"] > 0.5
    assert found["proxies"]["runs_without_supernet"]["spearman"] == pytest.approx(found["spearman"])
    overlapping = runs_alone(tmp_path / "truth.json", space, range(23, 30))
    with pytest.raises(FidelityError, match="1 subnets of the truth are among those that standalone_top1"):
        run(monkeypatch, truth=overlapping, **given)
    (tmp_path / FILE).unlink()
    with pytest.raises(FidelityError, match=r"holds no standalone\.json"):
        run(monkeypatch, truth=truth, metric="standalone_top1", **given)
