"""verify: passes on an intact copy anywhere, and names what is wrong with any other."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nas.errors import ExportError
from nas.export import latency
from nas.export import verify as verify_module
from nas.export.manifest import MeasuredLatency, read_manifest, write_manifest
from nas.export.verify import Check, verify
from predictors.profiler import MeasurementProtocol
from predictors.runtimes.registry import get_runtime

QUICK = MeasurementProtocol(warmup=1, passes=3, repeat_fraction=0.0, seconds=0)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    measure = latency.measure
    monkeypatch.setattr(verify_module, "measure", lambda f, m, e: measure(f, m, e, QUICK))


def failures(folder: Path, **options: bool) -> dict[tuple[str, str], str]:
    return {(c.kind, c.subject): c.detail for c in verify(folder, **options).failures}


def test_an_intact_copy_passes_and_is_left_as_it_was(copied: Path) -> None:
    before = {p.name: p.stat().st_mtime_ns for p in copied.iterdir()}
    told: list[Check] = []
    found = verify(copied, report=told.append)
    assert found.passed, found.failures
    assert tuple(told) == found.checks
    assert {(c.kind, c.subject) for c in found.checks if c.kind != "arch"} == {
        *(("digest", f) for f in ("README.md", "model.py", "model.safetensors", "model.onnx", "model.pt2")),
        *(("parity", f) for f in ("torch", "onnx", "pt2")),
        *(("latency", f) for f in ("torch", "onnx")),
    }
    assert {p.name: p.stat().st_mtime_ns for p in copied.iterdir()} == before


def test_latency_can_be_left_out(copied: Path) -> None:
    assert all(check.kind != "latency" for check in verify(copied, latency=False).checks)


@pytest.mark.parametrize(
    ("damage", "name", "formats"),
    [
        ("tamper", "README.md", []),
        ("tamper", "model.py", ["torch"]),
        ("truncate", "model.safetensors", ["torch"]),
        ("tamper", "model.onnx", ["onnx"]),
        ("remove", "model.onnx", ["onnx"]),
        ("tamper", "model.pt2", ["pt2"]),
    ],
)
def test_a_damaged_file_is_named_and_nothing_of_it_is_run(
    damage: str, name: str, formats: list[str], copied: Path
) -> None:
    path = copied / name
    data = path.read_bytes()
    if damage == "tamper":
        # As many bytes as before; were model.py or model.pt2 run, this would be noticed.
        path.write_bytes(b"raise SystemExit(1)\n" + data[20:])
    elif damage == "truncate":
        path.write_bytes(data[: len(data) // 2])
    else:
        path.unlink()
    found = failures(copied, latency=False)
    assert set(found) == {("digest", name), *(("parity", f) for f in formats)}
    assert all(name in detail for (kind, _), detail in found.items() if kind == "parity")


def test_a_file_that_was_wrong_from_the_start_fails_parity(copied: Path) -> None:
    manifest = read_manifest(copied)
    logits = [list(row) for row in manifest.reference.logits]
    logits[0][0] += 0.01
    wrong = replace(manifest.reference, logits=tuple(map(tuple, logits)))
    write_manifest(copied, replace(manifest, reference=wrong))
    assert {key[0] for key in failures(copied, latency=False)} == {"parity"}


def test_a_claim_about_this_device_must_hold(copied: Path) -> None:
    manifest = read_manifest(copied)
    device = get_runtime("onnxruntime").device()
    claim = replace(manifest.facts, device=device, measured=MeasuredLatency(1e6, 0.1, 30))
    write_manifest(copied, replace(manifest, facts=claim))
    found = failures(copied)
    assert set(found) == {("latency", "onnx")}
    assert "the same device" in found["latency", "onnx"]
    elsewhere = replace(claim, device=replace(device, hardware="a telephone"))
    write_manifest(copied, replace(manifest, facts=elsewhere))
    report = verify(copied)
    assert report.passed
    assert any("another device" in check.detail for check in report.checks)


def test_a_claimed_device_that_cannot_be_is_a_failed_check(copied: Path) -> None:
    manifest = read_manifest(copied)
    device = replace(get_runtime("eager").device(), threads=0)
    write_manifest(copied, replace(manifest, facts=replace(manifest.facts, device=device)))
    assert "threads" in failures(copied)["latency", "torch"]


def test_genes_of_another_arch_are_noticed(copied: Path) -> None:
    _edit(copied, lambda data: data["arch"]["genes"].__setitem__(0, 1))
    assert {key[0] for key in failures(copied, latency=False)} == {"arch"}


def test_a_format_of_a_newer_version_is_a_failed_check(copied: Path) -> None:
    _edit(copied, lambda data: data["formats"][1].update(name="holograph"))
    assert "this version knows" in failures(copied, latency=False)["parity", "holograph"]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda d: d.update(manifest_version=99), "manifest_version must be 1; got 99"),
        (lambda d: d["files"][0].update(name="../../etc/passwd"), "plain name"),
        (lambda d: d["formats"][0].update(files=["/etc/passwd"]), "plain name"),
        (lambda d: d["input"].update(channels="3"), "input.channels must be int"),
        (lambda d: d["input"].update(channels=True), "input.channels must be int"),
        (lambda d: d["input"].update(resolution=10**9), "input.resolution must lie"),
        (lambda d: d["formats"][0].update(batch=-1), "batch must be null"),
        (lambda d: d["reference"]["logits"][0].pop(), "equal length"),
        (lambda d: d["reference"]["logits"][0].__setitem__(0, 10**400), "finite number"),
        (lambda d: d["facts"]["test"].update(top1=1.5), "top1"),
        (lambda d: d["facts"]["lineage"].update(trial="x"), "facts.lineage.trial must be int"),
        (lambda d: d.update(classes="abc"), "classes must be an array"),
        (lambda d: d.update(versions=[]), "versions must be an object"),
        (
            lambda d: d["arch"]["values"].update(resolution=None),
            "arch.values.resolution must be one of several",
        ),
        (lambda d: d.pop("arch"), "arch is missing"),
    ],
)
def test_a_manifest_that_is_none_names_the_field(
    change: Callable[[dict[str, Any]], Any], match: str, copied: Path
) -> None:
    _edit(copied, change)
    with pytest.raises(ExportError, match=match) as caught:
        verify(copied)
    assert "manifest.json" in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"a": NaN}', "[" * 100_000, "\udcff"])
def test_a_manifest_that_is_no_object_is_refused(text: str, copied: Path) -> None:
    (copied / "manifest.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ExportError, match=r"manifest\.json"):
        verify(copied)


def test_a_folder_without_a_manifest_is_no_package(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="not a package"):
        verify(tmp_path)
    with pytest.raises(ExportError, match="not a package"):
        verify(tmp_path / "nowhere")


def test_unknown_fields_of_newer_versions_are_ignored(copied: Path) -> None:
    before = read_manifest(copied)
    _edit(copied, lambda data: data.update(later={"x": 1}))
    assert read_manifest(copied) == before


def _edit(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    data = json.loads((folder / "manifest.json").read_text())
    change(data)
    (folder / "manifest.json").write_text(json.dumps(data))
