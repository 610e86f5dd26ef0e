"""The job functions themselves: their small decisions, and the whole chain on real parts (slow)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from nas.data.types import ImageData, Split
from searchspaces.registry import get_space
from service.jobs.profile import sample_archs
from service.jobs.train import channel_statistics, default_space
from tests.service.agents import AgentProcess, running
from tests.service.conftest import Live, start_server, stop_server


@pytest.mark.parametrize(
    ("resolution", "in_channels", "expected"),
    [
        (8, 1, "hybrid-tiny"),
        (19, 1, "hybrid-tiny"),
        (28, 1, "hybrid-tiny-r20-24-28"),
        (32, 3, "hybrid-cifar"),
        (64, 3, "hybrid-cifar-r48-56-64"),
        (16, 3, "hybrid-cifar-r12-16"),
        (1024, 3, "hybrid-cifar-r160-192-224"),
    ],
)
def test_default_space_suits_the_images(resolution: int, in_channels: int, expected: str) -> None:
    assert default_space(resolution, in_channels) == expected
    assert get_space(expected).size() >= 10**9


def test_channel_statistics_are_those_of_the_training_images() -> None:
    images = np.zeros((4, 2, 8, 8), np.uint8)
    images[:2, 0] = 255
    split = Split(images, np.zeros(4, np.int64))
    other = Split(images + 7, np.zeros(4, np.int64))
    mean, std = channel_statistics(ImageData("x", ("a", "b"), split, other, other))
    assert mean == pytest.approx([0.5, 0.0])
    assert std == pytest.approx([0.5, 1e-3])


def test_sampled_archs_are_distinct_seeded_and_hold_both_extremes() -> None:
    space = get_space("hybrid-tiny")
    archs = sample_archs(space, 30, 1)
    assert len(set(archs)) == 30
    assert archs == sample_archs(space, 30, 1)
    assert archs[2:] != sample_archs(space, 30, 2)[2:]
    assert archs[:2] == [space.extreme(largest=False), space.extreme(largest=True)]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    server = start_server(tmp_path_factory.mktemp("real"), NAS_RUNNER="service.runner", NAS_LEASE_TTL_S="60")
    yield server
    stop_server(server)


@pytest.mark.slow
@pytest.mark.ray
def test_two_processes_train_one_supernet(real: Live) -> None:
    with real.client as client:
        job = client.run(
            "train", supernet="two", data="digits", workers=2, config={"epochs": 1, "threads": 1}
        )
        assert 0 <= job["result"]["metrics"]["top1_largest"] <= 1
        assert {"two"} <= {supernet["name"] for supernet in client.supernets()}


@pytest.mark.slow
@pytest.mark.ray
def test_from_images_to_a_verified_model(real: Live, tmp_path: Path) -> None:
    from nas.export.verify import verify

    with real.client as client:
        trained = client.run("train", supernet="d", data="digits", config={"epochs": 1})
        assert 0 <= trained["result"]["metrics"]["top1_largest"] <= 1
        profiled = client.run("profile", supernet="d", samples=20)
        assert profiled["result"]["quality"]["n_test"] == 20
        searched = client.run("search", supernet="d", budget=15, batch_size=5)
        assert searched["result"]["n_trials"] == 15
        assert searched["result"]["n_measured"] == searched["result"]["front_size"] > 0
        raced = client.run(
            "search", supernet="d", race=["random", "nsga2"], budget=12, batch_size=3, study="r"
        )
        assert raced["result"]["n_trials"] == 12
        assert [curve["searcher"] for curve in raced["result"]["race"]] == ["random", "nsga2"]
        answers = client.study_answers("r")
        assert answers["measured_share"] == 1.0
        assert len(answers["milliseconds"]) == raced["result"]["front_size"]
        points = client.front(device="here")
        assert all(point["latency_source"] == "measured" for point in points)
        assert all(0 <= point["test_top1"] <= 1 for point in points)
        best = client.best(device="here")
        job = client.run("extract", subnet=best["subnet_id"], formats=["onnx"])
        assert job["result"]["failed"] == {}
        client.download_all(job["id"], tmp_path / "model")
    assert verify(tmp_path / "model", latency=False).passed
    assert os.listdir(tmp_path) == ["model"]


@pytest.mark.slow
@pytest.mark.ray
def test_another_machine_is_profiled_and_searched_for(real: Live, tmp_path: Path) -> None:
    agent = AgentProcess("board", real.url, tmp_path)
    with real.client as client, running(agent, client):
        client.run("train", supernet="b", data="digits", config={"epochs": 1})
        profiled = client.run("profile", supernet="b", device="board", samples=20)
        assert profiled["result"]["n_samples"] == 20
        assert profiled["result"]["fingerprint"] == client.device("board")["fingerprint"]
        again = client.run("profile", supernet="b", device="board", samples=20, seed=1)
        assert again["result"]["n_samples"] == 40
        searched = client.run("search", supernet="b", device="board", budget=8, batch_size=4)
        assert searched["result"]["n_measured"] == searched["result"]["front_size"] > 0
        assert searched["result"]["not_measured"] is None
        points = client.front(device="board")
        assert all(point["latency_source"] == "measured" for point in points)
        assert all(point["predicted_latency_ms"] > 0 for point in points)


@pytest.mark.slow
@pytest.mark.ray
def test_anchors_alone_stitched_and_distilled(real: Live) -> None:
    quick = {"epochs": 3, "threads": 1}
    with real.client as client:
        alone = client.run("train", supernet="c", data="digits", space="anchor-tiny-conv", config=quick)
        assert alone["result"]["space"] == "anchor-tiny-conv@1"
        given = client.run(
            "train",
            supernet="s",
            data="digits",
            space="stitched2-tiny",
            anchors={"conv": "c"},
            config=quick,
        )
        assert given["progress"]["done"] == given["progress"]["total"]
        pool = client.run(
            "train", supernet="p", data="digits", space="stitched2-pooltiny", teacher="s", config=quick
        )
        assert 0 <= pool["result"]["metrics"]["top1_largest"] <= 1
