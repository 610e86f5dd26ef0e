"""A fitted predictor on disk: JSON and safetensors, each checked by SHA-256 when it is read."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from predictors.device import Device
from predictors.errors import CorruptFitError
from predictors.quality import Quality

JSON_FILE = "latency.json"
ARRAYS_FILE = "latency.safetensors"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class StoredFit:
    """Everything of a fit: ``space`` is its id, ``names`` its features, float64 ``arrays``."""

    space: str
    device: Device
    names: tuple[str, ...]
    scalars: Mapping[str, float]
    arrays: Mapping[str, NDArray[np.float64]]
    quality: Quality | None


def write_fit(folder: Path, fit: StoredFit) -> str:
    """Write both files, each whole or not at all; returns the SHA-256 of the JSON file.

    The JSON holds the digest of the arrays and is written last: until then an earlier pair of
    files is seen as damaged, never as a mixture.
    """
    folder.mkdir(parents=True, exist_ok=True)
    arrays = save({name: np.ascontiguousarray(array) for name, array in fit.arrays.items()})
    payload = {
        "format": FORMAT,
        "space": fit.space,
        "device": asdict(fit.device),
        "names": list(fit.names),
        "scalars": dict(fit.scalars),
        "quality": None if fit.quality is None else asdict(fit.quality),
        "arrays_sha256": _sha256(arrays),
    }
    text = json.dumps({**payload, "sha256": _payload_digest(payload)}, indent=1, sort_keys=True) + "\n"
    _replace(folder / ARRAYS_FILE, arrays)
    _replace(folder / JSON_FILE, text.encode())
    return _sha256(text.encode())


def read_fit(folder: Path) -> StoredFit:
    """Read both files; raises CorruptFitError with the name of the one that is missing or damaged."""
    payload = _read_payload(folder / JSON_FILE)
    path = folder / ARRAYS_FILE
    content = _read(path)
    if _sha256(content) != payload["arrays_sha256"]:
        raise CorruptFitError(f"{path}: SHA-256 differs from the one in {JSON_FILE}")
    try:
        arrays = load(content)
        return StoredFit(
            space=payload["space"],
            device=Device(**payload["device"]),
            names=tuple(payload["names"]),
            scalars=payload["scalars"],
            arrays=arrays,
            quality=None if payload["quality"] is None else Quality(**payload["quality"]),
        )
    except (SafetensorError, KeyError, TypeError) as error:
        raise CorruptFitError(f"{folder}: {error}") from error


def _read_payload(path: Path) -> dict[str, Any]:
    try:
        payload = json.loads(_read(path))
    except ValueError as error:
        raise CorruptFitError(f"{path}: not JSON: {error}") from error
    if not isinstance(payload, dict) or payload.get("format") != FORMAT:
        raise CorruptFitError(f"{path}: not a predictor of format {FORMAT}")
    if payload.pop("sha256", None) != _payload_digest(payload):
        raise CorruptFitError(f"{path}: its content does not match its SHA-256")
    return payload


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise CorruptFitError(f"{path} is missing") from error


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(content)
    temporary.replace(path)


def _payload_digest(payload: Mapping[str, Any]) -> str:
    return _sha256(json.dumps(payload, sort_keys=True).encode())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
