"""Routes between two anchors have accuracies between theirs, and pay for their cost."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from nas.data.load import ImageData, load_data
from nas.data.types import Split
from nas.evaluate.accuracy import calibration_images, top1
from nas.stitching.train import DEFAULTS, train_stitched
from nas.supernet.config import TrainConfig
from nas.supernet.extract import calibrate, extract_subnet, fold
from nas.supernet.resize import resize, to_float
from nas.supernet.supernet import Supernet
from searchspaces.cost import cost
from searchspaces.registry import get_space
from searchspaces.routes import route_name, route_of
from searchspaces.space import Arch

SPACE = get_space("stitched-tiny")  # its anchors' accuracies go with their costs
CONFIG = TrainConfig(**{**DEFAULTS, "anchor_fraction": 0.2}, epochs=24, batch_size=64, threads=1)
TOLERANCE = 0.03  # of top-1: about three standard errors on the 660 images scored


@dataclass(frozen=True, slots=True)
class Row:
    """A route, its multiply-adds and its top-1."""

    route: str
    macs: int
    top1: float


def rows(supernet: Supernet, data: ImageData) -> list[Row]:
    """All routes, cheapest first."""
    scored = Split(
        np.concatenate([data.val.images, data.test.images]),
        np.concatenate([data.val.labels, data.test.labels]),
    )
    found = [Row(_name(arch), _macs(arch), _top1(supernet, arch, data, scored)) for arch in SPACE.archs()]
    return sorted(found, key=lambda row: row.macs)


def _name(arch: Arch) -> str:
    return route_name(route_of(SPACE.values(arch)))


def _macs(arch: Arch) -> int:
    return cost(SPACE.decode(arch), in_channels=1, n_classes=10).macs


def _top1(supernet: Supernet, arch: Arch, data: ImageData, scored: Split) -> float:
    network = extract_subnet(supernet, SPACE.decode(arch))
    calibrate(network, calibration_images(data.train))
    images = resize(to_float(torch.from_numpy(scored.images)), network.resolution)
    return top1(fold(network), images, torch.from_numpy(scored.labels))


@pytest.mark.slow
def test_accuracy_over_cost_interpolates_between_the_anchors(tmp_path: Path) -> None:
    data = load_data("digits", limit=1000)
    torch.manual_seed(0)
    supernet = Supernet(SPACE, n_classes=10, in_channels=1, mean=[0.3], std=[0.4])
    assert train_stitched(supernet, data, CONFIG, folder=tmp_path).completed
    found = rows(supernet.eval(), data)
    ends = [i for i, row in enumerate(found) if row.route in SPACE.fabric.anchors]
    assert [found[i].route for i in ends] == ["conv", "attention", "ssm"]
    for first, last in pairwise(ends):
        cheap, *between, costly = found[first : last + 1]
        assert len(between) >= 4
        low, high = sorted((cheap.top1, costly.top1))
        assert all(low - TOLERANCE <= row.top1 <= high + TOLERANCE for row in between), found
        # Not dominated by the cheaper anchor alone: for more cost there is more accuracy to have.
        assert max(row.top1 for row in between) > cheap.top1, found
