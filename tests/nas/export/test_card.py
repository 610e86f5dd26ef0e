"""The model card: its lines run, its numbers are the manifest's, and text from outside stays text."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace

import pytest
import yaml

from nas.export.card import model_card
from nas.export.manifest import Accuracy, Lineage, Manifest, MeasuredLatency, PackageFacts, PredictedLatency
from predictors.device import Device
from tests.nas.export.conftest import Exported

DEVICE = Device("lab-onnxruntime", "ARM, 4 cores", "onnxruntime", "1.31.1")


def front_matter(card: str) -> dict:  # type: ignore[type-arg]
    return yaml.safe_load(card.split("---\n")[1])  # type: ignore[no-any-return]


def test_every_line_of_code_runs_as_written(shallow: Exported) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (shallow.folder / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 3
    assert all(len(block.strip().splitlines()) <= 5 for block in blocks)
    script = ["import sys, numpy, torch", "sys.path.insert(0, '.')", "found = []"]
    for block in blocks:
        is_onnx = "onnxruntime" in block
        script += [
            "images = torch.full((1, 3, 8, 8), 0.5)",
            "images = images.numpy()" if is_onnx else "pass",
            block,
            "found.append(numpy.asarray(logits if isinstance(logits, numpy.ndarray) else logits.detach()))",
        ]
    script += ["assert all(f.shape == (1, 5) and abs(f - found[0]).max() < 1e-4 for f in found)"]
    command = [sys.executable, "-B", "-c", "\n".join(script)]
    done = subprocess.run(
        command, cwd=shallow.folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def test_numbers_are_the_manifests(shallow: Exported) -> None:
    card = (shallow.folder / "README.md").read_text()
    assert card == model_card(replace(shallow.manifest, files=()))
    assert f"{shallow.manifest.params:,} parameters" in card
    assert "| test | 0.9700 | 0.9468 to 0.9833 | 360 |" in card
    assert "## Latency\n\nNot measured." in card
    data = front_matter(card)
    assert data["pipeline_tag"] == "image-classification"
    assert data["model-index"][0]["results"][0]["metrics"] == [{"type": "accuracy", "value": 0.97}]
    assert data["model-index"][0]["results"][0]["dataset"]["split"] == "test"


def test_latency_says_where_and_how(shallow: Exported) -> None:
    facts = PackageFacts(
        device=DEVICE,
        predicted=PredictedLatency(0.5, 0.01, 0.48, 0.53),
        measured=MeasuredLatency(0.52, 0.02, 30),
    )
    card = model_card(replace(shallow.manifest, facts=facts))
    assert "On `lab-onnxruntime`: ARM, 4 cores; onnxruntime 1.31.1, 1 thread(s), fp32, batch 1." in card
    assert "Measured: 0.52 ms, the median of 30 timings (CPU time; interquartile range 0.02 ms)." in card
    assert "Predicted: 0.5 ms ± 0.01, 90 % interval 0.48 to 0.53 ms." in card
    threads = replace(facts, device=replace(DEVICE, threads=4))
    assert "(wall time;" in model_card(replace(shallow.manifest, facts=threads))


def test_a_card_without_facts_says_so(shallow: Exported) -> None:
    card = model_card(replace(shallow.manifest, facts=PackageFacts()))
    assert "## Accuracy\n\nNot measured." in card
    assert "model-index" not in front_matter(card)
    assert front_matter(card)["license"] == "other"


NASTY = "a\n---\n# b | <script>`x`</script> \"'{}: &\\ ü"


def test_text_from_outside_stays_text(shallow: Exported) -> None:
    facts = PackageFacts(
        name=NASTY, licence=NASTY, test=Accuracy(1.0, 10), lineage=Lineage(data=NASTY, supernet=NASTY)
    )
    classes = (NASTY, *shallow.manifest.classes[1:])
    manifest: Manifest = replace(shallow.manifest, facts=facts, classes=classes)
    card = model_card(manifest)
    data = front_matter(card.replace(NASTY, ""))
    assert data["license"] == NASTY
    assert data["model-index"][0]["name"] == NASTY
    body = card.split("---\n", 2)[2]
    assert "<script>" not in body
    assert not re.search(r"^# b", body, re.MULTILINE)
    rows = [line for line in body.splitlines() if line.startswith("| data |")]
    assert len(rows) == 1
    assert rows[0].count("|") == 3


@pytest.mark.parametrize(
    ("top1", "n", "low", "high"), [(0.5, 100, 0.4038, 0.5962), (1.0, 10, 0.7225, 1.0), (0.0, 10, 0.0, 0.2775)]
)
def test_interval_is_wilsons(top1: float, n: int, low: float, high: float) -> None:
    assert Accuracy(top1, n).interval == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize(("top1", "n"), [(1.1, 10), (-0.1, 10), (0.5, 0), (float("nan"), 10)])
def test_accuracy_is_checked(top1: float, n: int) -> None:
    with pytest.raises(ValueError, match="must"):
        Accuracy(top1, n)
