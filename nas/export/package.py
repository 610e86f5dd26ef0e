"""export_subnet: from an arch of a supernet to a folder that stands alone."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from torch import Tensor

from nas.errors import ConfigError, ExportError
from nas.export.card import model_card
from nas.export.formats import FORMATS, PLAIN, Format
from nas.export.manifest import (
    MANIFEST_VERSION,
    ArchEntry,
    FormatEntry,
    InputSpec,
    Manifest,
    PackageFacts,
    Reference,
    file_entry,
    write_manifest,
)
from nas.export.parity import TOLERANCE, Parity, compare, parity_images, random_images
from nas.supernet.extract import ExtractedSubnet, extract_subnet, fold, recalibrate
from nas.supernet.supernet import Supernet
from searchspaces.cost import cost
from searchspaces.space import Arch
from searchspaces.subnet import SubnetSpec

CARD_FILE = "README.md"
SEED = 0  # of the random images of parity
VERSIONED = ("stitchnas", "torch", "safetensors", "onnx", "onnxruntime", "numpy")


def export_subnet(
    supernet: Supernet,
    arch: Arch,
    folder: Path,
    *,
    formats: Sequence[str] = ("onnx", "pt2"),
    calibration: Sequence[Tensor],
    samples: Tensor | None = None,
    classes: tuple[str, ...],
    facts: PackageFacts | None = None,
) -> Manifest:
    """Extract, recalibrate, fold, write every format, compare each with the supernet, then publish.

    The supernet is on the CPU; ``calibration`` are batches of training images and ``samples``
    (N, C, H, W) images to compare on beside random ones, both float in [0, 1]. model.py with
    model.safetensors is always written. A further format that cannot be written, or differs by
    more than TOLERANCE, is left out and says so in ``Manifest.parity``. ``folder`` appears at
    once when all is done, or not at all.

    Raises ConfigError for an unknown format, empty calibration, a wrong number of classes,
    samples of the wrong type or facts that are not finite; InvalidArchError for an arch of another
    space; ExportError if the folder is not empty or the plain model itself fails.
    """
    facts = facts or PackageFacts()
    _check(supernet, formats, calibration, samples, classes, facts)
    spec = supernet.space.decode(arch)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ExportError(f"{folder} exists and is not an empty folder")
    path = recalibrate(supernet, spec, calibration)
    network = fold(extract_subnet(path, spec)).requires_grad_(False)
    with _published(folder) as draft:
        written, parity = _write_formats(path, spec, network, draft, formats, samples)
        params = sum(parameter.numel() for parameter in network.parameters())
        manifest = replace(
            _manifest(path, arch, spec, classes, facts), params=params, formats=written, parity=parity
        )
        (draft / CARD_FILE).write_text(model_card(manifest), encoding="utf-8")
        manifest = replace(manifest, files=tuple(map(file_entry, sorted(draft.iterdir()))))
        write_manifest(draft, manifest)
    return manifest


def _check(
    supernet: Supernet,
    formats: Sequence[str],
    calibration: Sequence[Tensor],
    samples: Tensor | None,
    classes: tuple[str, ...],
    facts: PackageFacts,
) -> None:
    for name in formats:
        if name not in FORMATS:
            raise ConfigError(f"formats must be among {', '.join(FORMATS)}; got {name!r}")
    if not calibration:
        raise ConfigError("calibration must hold at least one batch of training images; got none")
    if len(classes) != supernet.n_classes:
        raise ConfigError(f"classes must be {supernet.n_classes} names; got {len(classes)}")
    if samples is not None and (not samples.is_floating_point() or samples.dim() != 4):
        raise ConfigError(f"samples must be float (N, C, H, W); got {samples.dtype} {tuple(samples.shape)}")
    if any(parameter.device.type != "cpu" for parameter in supernet.parameters()):
        raise ConfigError("supernet must be on the CPU, where parity is exact")
    try:
        json.dumps(asdict(facts), allow_nan=False)
    except ValueError as error:
        raise ConfigError(f"facts must hold finite numbers: {error}") from error


def _write_formats(
    path: Supernet,
    spec: SubnetSpec,
    network: ExtractedSubnet,
    folder: Path,
    formats: Sequence[str],
    samples: Tensor | None,
) -> tuple[tuple[FormatEntry, ...], tuple[Parity, ...]]:
    """The formats that passed, and the parity of all of them; files of the others are removed."""
    images = parity_images(SEED, samples, channels=path.in_channels, resolution=spec.resolution)
    expected = _logits(path, spec, images)
    entries, parities = [], []
    for name in dict.fromkeys((PLAIN, *formats)):
        entry, parity = _write_format(FORMATS[name], network, folder, images, expected)
        parities.append(parity)
        if entry is not None:
            entries.append(entry)
        elif name == PLAIN:
            raise ExportError(f"the plain model does not compute what the supernet does: {parity.error}")
        else:
            for file in FORMATS[name].files:
                (folder / file).unlink(missing_ok=True)
    return tuple(entries), tuple(parities)


def _write_format(
    format_: Format, network: ExtractedSubnet, folder: Path, images: Tensor, expected: Tensor
) -> tuple[FormatEntry | None, Parity]:
    try:
        written = format_.write(network, images[:1], folder)
    except ExportError as error:
        return None, Parity(format_.name, None, passed=False, error=str(error))
    parity = compare(format_.name, partial(format_.open, folder), images, expected, written.batch)
    if not parity.passed:
        return None, parity
    return FormatEntry(format_.name, format_.files, written.batch, dict(written.details)), parity


def _logits(path: Supernet, spec: SubnetSpec, images: Tensor) -> Tensor:
    with torch.inference_mode():
        logits: Tensor = path(images, spec)
    return logits


def _manifest(
    path: Supernet, arch: Arch, spec: SubnetSpec, classes: tuple[str, ...], facts: PackageFacts
) -> Manifest:
    """All of the manifest that does not depend on the written files."""
    costs = cost(spec, in_channels=path.in_channels, n_classes=path.n_classes)
    images = random_images(SEED, channels=path.in_channels, resolution=spec.resolution)
    return Manifest(
        manifest_version=MANIFEST_VERSION,
        created=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        arch=ArchEntry(arch.space, arch.genes, arch.key, path.space.values(arch)),
        input=InputSpec(path.in_channels, spec.resolution),
        classes=classes,
        params=costs.params,
        macs=costs.macs,
        peak_memory_bytes=costs.peak_memory_bytes,
        tolerance=TOLERANCE,
        formats=(),
        parity=(),
        files=(),
        reference=Reference(SEED, tuple(tuple(row) for row in _logits(path, spec, images).tolist())),
        facts=facts,
        versions=_versions(),
    )


def _versions() -> dict[str, str]:
    found = {}
    for package in VERSIONED:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed as a package"
    return found


@contextmanager
def _published(folder: Path) -> Iterator[Path]:
    """A new sibling folder that takes the name ``folder`` when the block ends, or is removed."""
    folder = folder.absolute()
    draft = folder.parent / f".{folder.name}.{secrets.token_hex(4)}.partial"
    try:
        draft.mkdir(parents=True)
    except OSError as error:
        raise ExportError(f"{folder} cannot be created: {error}") from error
    try:
        yield draft
        for item in (*draft.iterdir(), draft):
            _sync(item)
        try:
            draft.replace(folder)  # takes the place of an empty folder, never of a filled one
        except OSError as error:
            raise ExportError(f"{folder} appeared while it was being exported: {error}") from error
        _sync(folder.parent)
    finally:
        if draft.exists():
            shutil.rmtree(draft)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
