"""verify: repeat the checks of a package on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch

from nas.export.formats import FORMATS
from nas.export.latency import TIMED, measure
from nas.export.manifest import FileEntry, FormatEntry, Manifest, file_entry, read_manifest
from nas.export.parity import TOLERANCE, compare, random_images
from searchspaces.errors import NasError

LATENCY_TRIES = 3
LATENCY_PAUSE_S = 2.0
LATENCY_RATIO = 1.5  # a claim about this very device that is off by more is wrong


@dataclass(frozen=True, slots=True)
class Check:
    """One check: ``kind`` is "digest", "arch", "parity" or "latency", ``subject`` a file or format."""

    kind: str
    subject: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """All checks in the order made."""

    folder: Path
    manifest: Manifest
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that did not pass."""
        return tuple(check for check in self.checks if not check.passed)


def verify(
    folder: Path, *, latency: bool = True, report: Callable[[Check], None] | None = None
) -> VerifyReport:
    """Digests of all files, parity of each format with the supernet's logits, and its latency here.

    ``report`` is told each check as it is made. A missing or damaged file is a failed check that
    names it, and formats that need it are not run. Latency fails if it cannot be measured, or if
    the manifest's claim is about this very device and off by more than LATENCY_RATIO; measured
    elsewhere, it is only reported. Runs model.py and model.pt2: digests tell damage, not
    malice, so verify only what comes from where you trust.

    Raises ExportError if the folder has no manifest that can be read.
    """
    manifest = read_manifest(folder)
    checks = _Checks(report)
    arch = manifest.arch
    checks.add("arch", arch.key, arch.key == arch.arch.key, f"{arch.space}, {len(arch.genes)} genes")
    for file in manifest.files:
        checks.add("digest", file.name, *_digest(folder, file))
    intact = {check.subject for check in checks.made if check.kind == "digest" and check.passed}
    runnable = []
    for entry in manifest.formats:
        passed, detail = _parity(folder, manifest, entry, intact)
        checks.add("parity", entry.name, passed, detail)
        if passed:
            runnable.append(entry)
    for entry in runnable:
        if latency and entry.name in TIMED:
            checks.add("latency", entry.name, *_latency(folder, manifest, entry))
    return VerifyReport(folder, manifest, tuple(checks.made))


@dataclass(slots=True)
class _Checks:
    report: Callable[[Check], None] | None
    made: list[Check] = field(default_factory=list)

    def add(self, kind: str, subject: str, passed: bool, detail: str) -> None:
        self.made.append(Check(kind, subject, passed, detail))
        if self.report is not None:
            self.report(self.made[-1])


def _digest(folder: Path, entry: FileEntry) -> tuple[bool, str]:
    try:
        found = file_entry(folder / entry.name)
    except OSError as error:
        return False, f"cannot be read: {error.strerror}"
    if found != entry:
        return False, (
            f"damaged: SHA-256 is {found.sha256[:16]}… of {found.size_bytes} bytes; "
            f"expected {entry.sha256[:16]}… of {entry.size_bytes}"
        )
    return True, f"SHA-256 {entry.sha256[:16]}…"


def _parity(
    folder: Path, manifest: Manifest, entry: FormatEntry, intact: Collection[str]
) -> tuple[bool, str]:
    broken = [name for name in entry.files if name not in intact]
    if broken:
        return False, f"not run: {', '.join(broken)} did not pass"
    format_ = FORMATS.get(entry.name)
    if format_ is None or format_.files != entry.files:
        return False, f"not run: this version knows {', '.join(FORMATS)}"
    images = random_images(
        manifest.reference.seed, channels=manifest.input.channels, resolution=manifest.input.resolution
    )
    expected = torch.tensor(manifest.reference.logits)
    if expected.shape != (len(images), len(manifest.classes)):
        return False, f"not run: reference.logits must be {len(images)} by {len(manifest.classes)} numbers"
    found = compare(entry.name, partial(format_.open, folder), images, expected, entry.batch)
    return found.passed, found.error or f"max abs error {found.max_abs_error:.1e} (at most {TOLERANCE:.0e})"


def _latency(folder: Path, manifest: Manifest, entry: FormatEntry) -> tuple[bool, str]:
    """Other work on the machine can only slow a network down, so a claim that fails is tried again."""
    for _ in range(LATENCY_TRIES - 1):
        passed, detail = _timed(folder, manifest, entry)
        if passed:
            return True, detail
        time.sleep(LATENCY_PAUSE_S)
    return _timed(folder, manifest, entry)


def _timed(folder: Path, manifest: Manifest, entry: FormatEntry) -> tuple[bool, str]:
    try:
        sample = measure(folder, manifest, entry)
    except NasError as error:
        return False, f"not measured: {error}"
    here = f"{sample.latency_ms:.4g} ms (IQR {sample.iqr_ms:.2g}) on {sample.device.name}"
    claimed, device = manifest.facts.measured, manifest.facts.device
    if claimed is None or device is None or device.runtime != sample.device.runtime:
        return True, here
    ratio = sample.latency_ms / claimed.latency_ms
    detail = f"{here}; {claimed.latency_ms:.4g} ms on {device.name}, ratio {ratio:.2f}"
    if device.fingerprint != sample.device.fingerprint:
        return True, f"{detail}, another device"
    return 1 / LATENCY_RATIO <= ratio <= LATENCY_RATIO, f"{detail}, the same device"
