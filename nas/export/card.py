"""README.md of a package: a model card in the layout of the Hugging Face hub."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from nas.export.manifest import Accuracy, Manifest

SHOWN_CLASSES = 100
USAGE: Mapping[str, tuple[str, str]] = {  # format: (title, lines)
    "torch": (
        "PyTorch (needs `torch` and `safetensors`)",
        'from model import load\n\nmodel = load(".")\nlogits = model(images)',
    ),
    "onnx": (
        "ONNX Runtime (needs `onnxruntime`)",
        "import onnxruntime\n\n"
        'session = onnxruntime.InferenceSession("model.onnx")\n'
        'logits = session.run(["logits"], {"images": images})[0]  # images: a NumPy array',
    ),
    "pt2": (
        "torch.export (needs the `torch` that is named under versions, or one that reads its files)",
        'import torch\n\nmodel = torch.export.load("model.pt2").module()\nlogits = model(images)',
    ),
}


def model_card(manifest: Manifest) -> str:
    """The card's text, from the manifest alone; the same manifest gives the same card."""
    sections = [
        _front_matter(manifest),
        f"# {_text(_name(manifest))}\n\n{_summary(manifest)}",
        "## Intended use\n\n" + _use(manifest),
        "## How to run\n\n" + _usage(manifest),
        "## Accuracy\n\n" + _accuracy(manifest),
        "## Latency\n\n" + _latency(manifest),
        "## Formats\n\n" + _formats(manifest),
        "## Limits\n\n" + _limits(),
        "## Lineage\n\n" + _lineage(manifest),
        "## Licence\n\n" + _licence(manifest),
    ]
    return "\n\n".join(sections) + "\n"


def _name(manifest: Manifest) -> str:
    return manifest.facts.name or f"{manifest.arch.space.partition('@')[0]}-{manifest.arch.key}"


def _front_matter(manifest: Manifest) -> str:
    """YAML; every string is written as JSON, which YAML contains."""
    lines = [
        f"license: {json.dumps(manifest.facts.licence or 'other')}",
        "library_name: pytorch",
        "pipeline_tag: image-classification",
        "tags: [neural-architecture-search, stitchnas]",
        "metrics: [accuracy]",
    ]
    best = manifest.facts.test or manifest.facts.val
    if best is not None:
        split = "test" if best is manifest.facts.test else "validation"
        dataset = json.dumps(manifest.facts.lineage.data or "unknown")
        lines += [
            "model-index:",
            f"- name: {json.dumps(_name(manifest))}",
            "  results:",
            "  - task: {type: image-classification}",
            f"    dataset: {{name: {dataset}, type: {dataset}, split: {split}}}",
            f"    metrics: [{{type: accuracy, value: {best.top1:.6f}}}]",
        ]
    return "\n".join(["---", *lines, "---"])


def _summary(manifest: Manifest) -> str:
    image = manifest.input
    size = f"B, {image.channels}, {image.resolution}, {image.resolution}"
    shown = ", ".join(f"`{_text(name)}`" for name in manifest.classes[:SHOWN_CLASSES])
    more = " …" if len(manifest.classes) > SHOWN_CLASSES else ""
    return (
        f"An image classifier of {len(manifest.classes)} classes, found by neural architecture search in the "
        f"space `{manifest.arch.space}` and extracted from its supernet: {manifest.params:,} parameters, "
        f"{manifest.macs / 1e6:.2f} million multiply-adds an image.\n\n"
        f"- Input `images`: ({size}) {image.dtype} in [{image.low:g}, {image.high:g}]; the network "
        "normalises them. Images of another size are resized first, by antialiased bilinear interpolation.\n"
        f"- Output `logits`: (B, {len(manifest.classes)}), in the order of the classes {shown}{more}."
    )


def _use(manifest: Manifest) -> str:
    data = manifest.facts.lineage.data
    return (
        f"To classify images like those of {f'`{_text(data)}`' if data else 'the data it was trained on'}. "
        "It gives one of its classes to every image, also to images of something else."
    )


def _usage(manifest: Manifest) -> str:
    image = manifest.input
    shape = f"1, {image.channels}, {image.resolution}, {image.resolution}"
    parts = [f"With `images` of shape ({shape}), in this folder:"]
    for entry in manifest.formats:
        if entry.name in USAGE:
            title, code = USAGE[entry.name]
            parts.append(f"{title}:\n\n```python\n{code}\n```")
    parts.append("`nas verify .` repeats digests, parity and latency on any machine with StitchNAS.")
    return "\n\n".join(parts)


def _accuracy(manifest: Manifest) -> str:
    rows = [
        _accuracy_row(split, accuracy, remark)
        for split, accuracy, remark in (
            ("validation", manifest.facts.val, "the search chose by it, so it is optimistic"),
            ("test", manifest.facts.test, "not seen by training or search"),
        )
        if accuracy is not None
    ]
    if not rows:
        return "Not measured."
    return _table(("split", "top-1", "95 % interval (Wilson)", "images", "remark"), rows)


def _accuracy_row(split: str, accuracy: Accuracy, remark: str) -> tuple[str, ...]:
    low, high = accuracy.interval
    return split, f"{accuracy.top1:.4f}", f"{low:.4f} to {high:.4f}", f"{accuracy.n_images:,}", remark


def _latency(manifest: Manifest) -> str:
    facts = manifest.facts
    if facts.device is None or (facts.measured is None and facts.predicted is None):
        return "Not measured."
    device = facts.device
    lines = [
        f"On `{_text(device.name)}`: {_text(device.hardware)}; {_text(device.runtime)} "
        f"{_text(device.runtime_version)}, {device.threads} thread(s), {_text(device.precision)}, "
        f"batch {device.batch_size}."
    ]
    if facts.measured is not None:
        m = facts.measured
        lines.append(
            f"- Measured: {m.latency_ms:.4g} ms, the median of {m.passes} timings "
            f"({'CPU' if device.threads == 1 else 'wall'} time; interquartile range {m.iqr_ms:.2g} ms)."
        )
    if facts.predicted is not None:
        p = facts.predicted
        lines.append(
            f"- Predicted: {p.mean_ms:.4g} ms ± {p.std_ms:.2g}, "
            f"90 % interval {p.low_ms:.4g} to {p.high_ms:.4g} ms."
        )
    return "\n".join(lines)


def _formats(manifest: Manifest) -> str:
    shipped = {entry.name: entry for entry in manifest.formats}
    rows = []
    for parity in manifest.parity:
        entry = shipped.get(parity.format)
        error = "–" if parity.max_abs_error is None else f"{parity.max_abs_error:.1e}"
        if entry is None:
            rows.append((parity.format, "not shipped", error, "", _text(parity.error or "")))
            continue
        batch = "any" if entry.batch is None else str(entry.batch)
        details = "; ".join(f"{key} {value}" for key, value in entry.details.items())
        rows.append((parity.format, ", ".join(entry.files), error, batch, _text(details)))
    return (
        "Compared with the supernet's path in float32; the largest difference of a logit may be "
        f"{manifest.tolerance:.0e}.\n\n"
        + _table(("format", "files", "max abs error", "batch", "remark"), rows)
        + "\n\nVersions: "
        + ", ".join(f"{name} {version}" for name, version in manifest.versions.items())
        + "."
    )


def _limits() -> str:
    return (
        "- Batch-norm statistics were recalibrated on training images and folded into the convolutions: "
        "the network is for inference, not for further training with batch norm.\n"
        "- Intervals hold for new images of the same kind; other cameras, sizes or classes were not tested.\n"
        "- Latency holds for the device above; `nas verify .` measures it elsewhere.\n"
        "- `model.py` and `model.pt2` are code: run them only if you trust where the folder comes from."
    )


def _lineage(manifest: Manifest) -> str:
    lineage = manifest.facts.lineage
    rows: list[tuple[str, str]] = [
        ("arch", f"`{manifest.arch.key}` of `{manifest.arch.space}`"),
        ("choices", ", ".join(f"{name}={value}" for name, value in manifest.arch.values.items())),
    ]
    for label, value in (
        ("supernet", lineage.supernet),
        ("supernet SHA-256", lineage.supernet_sha256),
        ("data", lineage.data),
        ("data SHA-256", lineage.data_sha256),
        ("study", lineage.study),
        ("trial", lineage.trial),
        ("job", lineage.job),
        ("seed", lineage.seed),
    ):
        if value is not None:
            rows.append((label, f"`{_text(str(value))}`"))
    rows.append(("created", manifest.created))
    return _table(("what", "which"), rows)


def _licence(manifest: Manifest) -> str:
    weights = (
        f"The weights are under {_text(manifest.facts.licence)}."
        if manifest.facts.licence
        else "The licence of the weights is up to whoever trained them and to the terms of the training data."
    )
    return f"`model.py` is generated from StitchNAS and under Apache-2.0. {weights}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _text(value: str) -> str:
    """Text from outside on one line, without characters that Markdown or HTML would act on."""
    return re.sub(r"[|`<>\\]", "?", " ".join(value.split()))
