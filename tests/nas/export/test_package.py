"""Exporting: what ships computes what the supernet computes, and nothing else ships."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from nas.errors import ConfigError, ExportError
from nas.export.formats import FORMATS, Format, Written
from nas.export.manifest import MeasuredLatency, PackageFacts, PredictedLatency, file_entry, read_manifest
from nas.export.package import export_subnet
from nas.supernet.extract import ExtractedSubnet, recalibrate
from nas.supernet.resize import resize
from searchspaces.cost import cost
from searchspaces.errors import InvalidArchError
from searchspaces.registry import get_space
from searchspaces.space import Arch
from searchspaces.subnet import StitchSpec
from tests.nas.export.conftest import DEEP, FACTS, SHALLOW, SPACE, Exported, images, make_supernet

CLASSES = tuple("abcde")


def test_the_two_archs_cover_the_space() -> None:
    specs = [SPACE.decode(arch) for arch in (DEEP, SHALLOW)]
    assert {block.kind for spec in specs for block in spec.blocks} == {
        "mbconv",
        "convnext",
        "attention",
        "ssm",
    }
    stitches = {
        (s.source, s.target) for s in (layer.spec for layer in specs[0].layers) if isinstance(s, StitchSpec)
    }
    assert len(stitches) == 6
    assert {spec.resolution for spec in specs} == {8, 12}


@pytest.mark.parametrize("name", list(FORMATS))
@pytest.mark.parametrize("package", ["deep", "shallow"])
def test_every_format_equals_the_supernets_path(
    name: str, package: str, request: pytest.FixtureRequest
) -> None:
    exported: Exported = request.getfixturevalue(package)
    spec = SPACE.decode(exported.arch)
    x = resize(images(exported.supernet.in_channels, 7, seed=11), spec.resolution)
    with torch.inference_mode():
        expected = recalibrate(exported.supernet, spec, exported.calibration)(x, spec)
    run = FORMATS[name].open(exported.folder)
    entry = next(entry for entry in exported.manifest.formats if entry.name == name)
    assert entry.batch is None
    for part, logits in ((x, expected), (x[:1], expected[:1]), (x[2:5], expected[2:5])):
        torch.testing.assert_close(run(part), logits, atol=1e-4, rtol=0)


def test_manifest_states_what_is_in_the_folder(deep: Exported) -> None:
    manifest = read_manifest(deep.folder)
    assert manifest == deep.manifest
    assert {f.name for f in manifest.files} | {"manifest.json"} == {p.name for p in deep.folder.iterdir()}
    assert {f.name for f in manifest.files} == {
        "README.md",
        "model.py",
        "model.safetensors",
        "model.onnx",
        "model.pt2",
    }
    assert all(file_entry(deep.folder / f.name) == f for f in manifest.files)
    assert [p.format for p in manifest.parity] == ["torch", "onnx", "pt2"]
    assert all(p.passed and p.max_abs_error is not None and p.max_abs_error <= 1e-4 for p in manifest.parity)
    assert manifest.arch.arch == DEEP
    assert manifest.arch.values == SPACE.values(DEEP)
    assert (manifest.input.channels, manifest.input.resolution) == (1, 12)
    costs = cost(SPACE.decode(DEEP), in_channels=1, n_classes=5)
    assert manifest.macs == costs.macs
    assert 0.95 * costs.params < manifest.params < costs.params  # folded: a bias where a norm had two
    assert manifest.facts == FACTS
    assert manifest.versions["torch"].startswith("2.")


def test_the_same_arguments_give_the_same_model(shallow: Exported, tmp_path: Path) -> None:
    again = export_subnet(
        make_supernet(3),
        SHALLOW,
        tmp_path / "again",
        formats=["onnx"],
        calibration=shallow.calibration,
        classes=CLASSES,
    )
    before = {f.name: f for f in shallow.manifest.files}
    for f in again.files:
        if f.name.startswith("model."):
            assert f == before[f.name]
    assert again.reference == shallow.manifest.reference


def _wrong(images: Tensor) -> Tensor:
    return torch.zeros(len(images), 5)


def _write_broken(network: ExtractedSubnet, example: Tensor, folder: Path) -> Written:
    (folder / "model.broken").write_bytes(b"plausible")
    return Written(None)


def _refuse(network: ExtractedSubnet, example: Tensor, folder: Path) -> Written:
    (folder / "model.half").write_bytes(b"half")
    raise ExportError("operator aten::fancy has no translation")


def test_a_format_that_fails_is_reported_and_not_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Format("broken", ("model.broken",), _write_broken, lambda folder: _wrong)
    refused = Format("refused", ("model.half",), _refuse, lambda folder: _wrong)
    monkeypatch.setitem(FORMATS, "broken", broken)  # type: ignore[arg-type]
    monkeypatch.setitem(FORMATS, "refused", refused)  # type: ignore[arg-type]
    manifest = _export(tmp_path / "package", formats=["broken", "refused"])
    parity = {p.format: p for p in manifest.parity}
    assert parity["torch"].passed
    assert not parity["broken"].passed
    assert "above 1e-04" in (parity["broken"].error or "")
    assert not parity["refused"].passed
    assert parity["refused"].max_abs_error is None
    assert [entry.name for entry in manifest.formats] == ["torch"]
    assert {p.name for p in (tmp_path / "package").iterdir()} == {
        "README.md",
        "manifest.json",
        "model.py",
        "model.safetensors",
    }
    card = (tmp_path / "package" / "README.md").read_text()
    assert "operator aten::fancy has no translation" in card
    assert "not shipped" in card


def test_a_plain_model_that_fails_ships_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = replace(FORMATS["torch"], open=lambda folder: _wrong)
    monkeypatch.setitem(FORMATS, "torch", wrong)  # type: ignore[arg-type]
    with pytest.raises(ExportError, match="plain model"):
        _export(tmp_path / "package")
    assert list(tmp_path.iterdir()) == []


def test_a_crash_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "package"

    def interrupted(network: ExtractedSubnet, example: Tensor, draft: Path) -> Written:
        # Were the process killed here, this is what would be found: a hidden draft, no package.
        assert not folder.exists()
        assert (draft / "model.py").exists()
        raise KeyboardInterrupt

    monkeypatch.setitem(FORMATS, "late", Format("late", (), interrupted, lambda folder: _wrong))  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        _export(folder, formats=["late"])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ExportError, match=r"not an empty folder"):
        _export(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(ExportError, match=r"not an empty folder"):
        _export(tmp_path / "notes.txt")
    with pytest.raises(ExportError, match=r"cannot be created"):
        _export(tmp_path / "notes.txt" / "package")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_folder_filled_meanwhile_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "package"

    def rival(network: ExtractedSubnet, example: Tensor, draft: Path) -> Written:
        folder.mkdir()
        (folder / "rival.txt").write_text("first")
        return Written(None)

    monkeypatch.setitem(FORMATS, "rival", Format("rival", (), rival, lambda folder: _wrong))  # type: ignore[arg-type]
    with pytest.raises(ExportError, match="appeared"):
        _export(folder, formats=["rival"])
    assert [p.name for p in tmp_path.iterdir()] == ["package"]
    assert [p.name for p in folder.iterdir()] == ["rival.txt"]


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    _export(tmp_path / "package")
    assert (tmp_path / "package" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"formats": ["onnx", "tflite"]}, ConfigError, "formats must be among .*tflite"),
        ({"calibration": []}, ConfigError, "calibration"),
        ({"classes": ("a",)}, ConfigError, "classes must be 5 names; got 1"),
        ({"samples": torch.zeros(2, 1, 8, 8, dtype=torch.uint8)}, ConfigError, "samples must be float"),
        ({"facts": PackageFacts(predicted=PredictedLatency(1.0, math.nan, 1.0, 1.0))}, ConfigError, "finite"),
        ({"arch": Arch("other@1", SHALLOW.genes)}, InvalidArchError, "other@1"),
        ({"arch": get_space("hybrid-cifar").extreme(largest=False)}, InvalidArchError, "hybrid-cifar"),
    ],
)
def test_bad_arguments_name_the_field_and_write_nothing(
    change: dict[str, object], error: type[Exception], match: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=match):
        _export(tmp_path / "package", **change)
    assert list(tmp_path.iterdir()) == []


def test_measured_latency_must_be_positive() -> None:
    with pytest.raises(ValueError, match="latency_ms"):
        MeasuredLatency(0.0, 0.0, 30)


def _export(folder: Path, **change: object):  # type: ignore[no-untyped-def]
    arguments: dict[str, object] = {
        "arch": SHALLOW,
        "formats": [],
        "calibration": [images(1, 8)],
        "classes": CLASSES,
    } | change
    return export_subnet(make_supernet(1), folder=folder, **arguments)  # type: ignore[arg-type]


def test_manifest_is_strict_json(deep: Exported) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    data = json.loads((deep.folder / "manifest.json").read_text(), parse_constant=refuse)
    assert data["classes"][3] == "drei `ß`"
