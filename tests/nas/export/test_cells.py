"""Subnets of the cell spaces leave as files that compute what the supernet does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nas.export.formats import FORMATS
from nas.export.package import export_subnet
from nas.supernet.extract import recalibrate
from searchspaces.registry import get_space
from tests.nas.export.conftest import images, make_supernet


@pytest.mark.parametrize(
    ("name", "genes"),
    [
        ("nats-size-r12", [0, 1, 1, 3, 2]),  # an identity skip and a projected one
        ("nasbench201-c4-n1-r8", [3, 1, 2, 4, 0, 3]),
        ("nasbench201-c4-n1-r8", [0, 0, 3, 1, 4, 0]),  # a convolution of a node that nothing leads to
        ("nasbench201-c4-n1-r8", [3, 0, 0, 0, 0, 0]),  # no path at all
    ],
)
def test_every_format_equals_the_supernets_path(name: str, genes: list[int], tmp_path: Path) -> None:
    space = get_space(name)
    supernet, calibration = make_supernet(3, space=space), [images(3, 16)]
    arch = space.arch(genes)
    manifest = export_subnet(
        supernet,
        arch,
        tmp_path / "out",
        calibration=calibration,
        classes=tuple("abcde"),
        formats=["onnx", "pt2"],
    )
    assert [entry.name for entry in manifest.formats] == ["torch", "onnx", "pt2"], manifest.parity
    assert {entry.batch for entry in manifest.formats} == {None}
    spec = space.decode(arch)
    x = torch.rand(3, 3, spec.resolution, spec.resolution)
    with torch.inference_mode():
        expected = recalibrate(supernet, spec, calibration)(x, spec)
    for entry in manifest.formats:
        logits = FORMATS[entry.name].open(tmp_path / "out")(x)
        torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)
