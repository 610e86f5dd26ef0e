"""manifest.json: what is in a package, how it was checked and where it comes from."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from nas.errors import ConfigError, ExportError
from nas.export.codec import decode
from nas.export.parity import RANDOM_IMAGES, Parity
from predictors.device import Device
from predictors.sample import LatencySample
from searchspaces.space import Arch, Value

MANIFEST_FILE = "manifest.json"
MANIFEST_VERSION = 1
Z_95 = 1.959964  # standard normal quantile of a two-sided 95 % interval
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file of the package, in its folder."""

    name: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class InputSpec:
    """Images that the model takes: values in [``low``, ``high``], not normalised."""

    channels: int
    resolution: int
    layout: str = "NCHW"
    dtype: str = "float32"
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        for name, value, most in (("channels", self.channels, 64), ("resolution", self.resolution, 4096)):
            if not 1 <= value <= most:
                raise ConfigError(f"input.{name} must lie in 1..{most}; got {value}")


@dataclass(frozen=True, slots=True)
class ArchEntry:
    """The architecture: genes and key as in ``Arch``, and the active choices by name."""

    space: str
    genes: tuple[int, ...]
    key: str
    values: Mapping[str, Value]

    @property
    def arch(self) -> Arch:
        """The arch of these genes."""
        return Arch(self.space, self.genes)


@dataclass(frozen=True, slots=True)
class FormatEntry:
    """A shipped format: its files and the one batch size that it takes (None: any)."""

    name: str
    files: tuple[str, ...]
    batch: int | None
    details: Mapping[str, str]

    def __post_init__(self) -> None:
        if self.batch is not None and not 1 <= self.batch <= RANDOM_IMAGES:
            raise ConfigError(f"batch must be null or lie in 1..{RANDOM_IMAGES}; got {self.batch}")


@dataclass(frozen=True, slots=True)
class Reference:
    """Logits (n, n_classes) of the supernet's path for ``random_images(seed)``."""

    seed: int
    logits: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        if self.seed < 0 or len({len(row) for row in self.logits}) != 1:
            raise ConfigError("reference must have a seed of at least 0 and logits of equal length")


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Share of correct answers over ``n_images`` images of one split."""

    top1: float
    n_images: int

    def __post_init__(self) -> None:
        if not 0 <= self.top1 <= 1:
            raise ConfigError(f"top1 must lie in [0, 1]; got {self.top1}")
        if self.n_images < 1:
            raise ConfigError(f"n_images must be at least 1; got {self.n_images}")

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % score interval (Wilson, 1927): what other images of the same kind may give."""
        n, p = self.n_images, self.top1
        centre = (p + Z_95**2 / (2 * n)) / (1 + Z_95**2 / n)
        half = Z_95 / (1 + Z_95**2 / n) * math.sqrt(p * (1 - p) / n + Z_95**2 / (4 * n**2))
        return max(0.0, centre - half), min(1.0, centre + half)


@dataclass(frozen=True, slots=True)
class PredictedLatency:
    """The predictor's mean, standard deviation and 90 % interval, in ms."""

    mean_ms: float
    std_ms: float
    low_ms: float
    high_ms: float


@dataclass(frozen=True, slots=True)
class MeasuredLatency:
    """Median and interquartile range of ``passes`` timings, in ms."""

    latency_ms: float
    iqr_ms: float
    passes: int

    def __post_init__(self) -> None:
        if not 0 < self.latency_ms < math.inf:
            raise ConfigError(f"latency_ms must be positive and finite; got {self.latency_ms}")

    @classmethod
    def of(cls, sample: LatencySample) -> MeasuredLatency:
        """Summary of the raw times."""
        return cls(sample.latency_ms, sample.iqr_ms, len(sample.cpu_ms))


@dataclass(frozen=True, slots=True)
class Lineage:
    """What the model was made of and by; all optional, names as in the service."""

    supernet: str | None = None
    supernet_sha256: str | None = None
    study: str | None = None
    trial: int | None = None
    job: str | None = None
    data: str | None = None
    data_sha256: str | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class PackageFacts:
    """What the caller knows about a subnet beside its weights; all optional."""

    name: str | None = None
    device: Device | None = None  # that ``predicted`` and ``measured`` are about
    predicted: PredictedLatency | None = None
    measured: MeasuredLatency | None = None
    val: Accuracy | None = None
    test: Accuracy | None = None
    licence: str | None = None  # of the weights, an SPDX identifier
    lineage: Lineage = field(default_factory=Lineage)


@dataclass(frozen=True, slots=True)
class Manifest:
    """``params`` are those of the shipped, folded network; ``macs`` are for one image.

    ``parity`` has every format that was asked for, ``formats`` those that passed, and ``files``
    every file of the folder but the manifest itself. ``created`` is RFC 3339 in UTC.
    """

    manifest_version: int
    created: str
    arch: ArchEntry
    input: InputSpec
    classes: tuple[str, ...]
    params: int
    macs: int
    peak_memory_bytes: int
    tolerance: float
    formats: tuple[FormatEntry, ...]
    parity: tuple[Parity, ...]
    files: tuple[FileEntry, ...]
    reference: Reference
    facts: PackageFacts
    versions: Mapping[str, str]


def file_entry(path: Path) -> FileEntry:
    """Digest and size of a file; raises OSError if it cannot be read."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileEntry(path.name, digest, path.stat().st_size)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json; raises ValueError for a number that is not finite."""
    text = json.dumps(asdict(manifest), indent=1, ensure_ascii=False, allow_nan=False)
    (folder / MANIFEST_FILE).write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """The manifest in this folder; raises ExportError that names file and field if it is none."""
    path = folder / MANIFEST_FILE
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ExportError(f"{path}: no such file, so {folder} is not a package") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ExportError(f"{path}: cannot be read as JSON: {error}") from error
    version = data.get("manifest_version") if isinstance(data, dict) else None
    if version != MANIFEST_VERSION:
        raise ExportError(f"{path}: manifest_version must be {MANIFEST_VERSION}; got {version!r}")
    try:
        manifest = decode(Manifest, data)
    except ValueError as error:
        raise ExportError(f"{path}: {error}") from error
    names = [*(f.name for f in manifest.files), *(name for f in manifest.formats for name in f.files)]
    for name in names:
        if _PLAIN_NAME.fullmatch(name) is None:
            raise ExportError(f"{path}: files: {name!r} is not the plain name of a file")
    return manifest
