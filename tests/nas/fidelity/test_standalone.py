"""Subnets trained alone, and the file that their runs grow in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from nas.data.load import ImageData, load_data
from nas.errors import FidelityError
from nas.fidelity.runs import StandaloneRun, StandaloneRuns, continue_runs, load_runs, spread_archs
from nas.fidelity.standalone import train_alone, untrained
from nas.supernet.config import TrainConfig
from searchspaces.cost import cost
from searchspaces.registry import get_space

SPACE = get_space("hybrid-tiny")
CONFIG = TrainConfig(epochs=2, batch_size=64, lr=4e-3)
RUN = StandaloneRun("0" * 16, (1, 2), 0.5, 1.0, 10, 20, 3)


@pytest.fixture(scope="module")
def data() -> ImageData:
    return load_data("digits", limit=400)


def test_a_subnet_learns_alone_and_the_seed_decides_how(data: ImageData) -> None:
    subnet = SPACE.decode(SPACE.extreme(largest=False))
    first, again = (train_alone(subnet, data, replace(CONFIG, epochs=4)) for _ in range(2))
    assert first is not None
    assert again is not None
    assert first.top1 == again.top1
    assert first.top1 > 0.3  # ten classes


def test_training_alone_reports_every_step_and_stops_when_asked(data: ImageData) -> None:
    seen: list[tuple[int, int]] = []
    subnet = SPACE.decode(SPACE.extreme(largest=False))
    stopped = train_alone(
        subnet,
        data,
        CONFIG,
        report=lambda step, steps: seen.append((step, steps)),
        should_stop=lambda: len(seen) == 3,
    )
    assert stopped is None
    assert seen == [(step, 2 * (len(data.train) // 64)) for step in (1, 2, 3)]


def test_an_untrained_subnet_has_the_sizes_of_its_cost_and_identity_stitches() -> None:
    rng = np.random.default_rng(3)
    for _ in range(5):
        subnet = SPACE.decode(SPACE.sample(rng))
        network = untrained(subnet, n_classes=10, in_channels=1)
        counted = sum(p.numel() for p in network.parameters())
        assert counted == cost(subnet, in_channels=1, n_classes=10).params
        for layer, module in zip(subnet.layers, network.body, strict=True):
            if layer.spec.kind == "stitch":
                x = torch.rand(1, layer.spec.in_width, 3, 3)  # type: ignore[union-attr]
                torch.testing.assert_close(module(x), x)


def test_spread_archs_are_distinct_seeded_and_one_from_each_stratum() -> None:
    def draw(seed: int) -> list[str]:
        archs = spread_archs(SPACE, 12, in_channels=1, n_classes=10, seed=seed)
        return [arch.key for arch in archs]

    assert draw(0) == draw(0) != draw(1)
    archs = spread_archs(SPACE, 12, in_channels=1, n_classes=10, seed=0)
    assert len(set(archs)) == 12
    macs = sorted(cost(SPACE.decode(a), in_channels=1, n_classes=10).macs for a in archs)
    rng = np.random.default_rng(99)
    pool = [cost(SPACE.decode(SPACE.sample(rng)), in_channels=1, n_classes=10).macs for _ in range(600)]
    quarters = np.quantile(pool, [0.25, 0.5, 0.75])
    assert all(2 <= count <= 4 for count in np.bincount(np.digitize(macs, quarters)))


@pytest.mark.parametrize("n", [0, 10**30])
def test_too_many_or_no_subnets_are_refused(n: int) -> None:
    with pytest.raises(FidelityError, match=rf"subnets must lie in 1\.\..*got {n}"):
        spread_archs(SPACE, n, in_channels=1, n_classes=10, seed=0)


def test_runs_survive_the_file_and_go_on(tmp_path: Path) -> None:
    path = tmp_path / "runs.json"
    assert continue_runs(path, SPACE, {"epochs": 2}).runs == ()
    runs = StandaloneRuns(SPACE.id, {"epochs": 2}).with_run(RUN)
    runs.save(path)
    assert load_runs(path) == continue_runs(path, SPACE, {"epochs": 2}) == runs
    assert [file.name for file in tmp_path.iterdir()] == ["runs.json"]


def test_runs_of_another_space_or_recipe_are_refused_with_both_sides(tmp_path: Path) -> None:
    path = tmp_path / "runs.json"
    StandaloneRuns(SPACE.id, {"epochs": 2}).save(path)
    with pytest.raises(FidelityError, match=r"epochs of its runs was 2; it is 3 now"):
        continue_runs(path, SPACE, {"epochs": 3})
    with pytest.raises(FidelityError, match=r"hybrid-tiny@.*hybrid-cifar@"):
        continue_runs(path, get_space("hybrid-cifar"), {"epochs": 2})


@pytest.mark.parametrize("text", ["", "[]", '{"space": "a@1", "recipe": {}, "runs": [{"top1": 1}]}'])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "runs.json"
    path.write_text(text)
    with pytest.raises(FidelityError, match=r"runs\.json"):
        load_runs(path)
