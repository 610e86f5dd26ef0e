"""A JSON file and the arrays beside it, each checked by SHA-256 when they are read."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from predictors.errors import CorruptFitError

FORMAT = 1


def write_sealed(
    folder: Path, name: str, payload: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> str:
    """Write ``NAME.json`` and ``NAME.safetensors``, each whole or not at all.

    Returns the SHA-256 of the JSON file, which holds the digest of the arrays and is written last:
    until then an earlier pair of files is seen as damaged, never as a mixture.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = save({key: np.ascontiguousarray(array) for key, array in arrays.items()})
    sealed = {"format": FORMAT, **payload, "arrays_sha256": _sha256(content)}
    text = json.dumps({**sealed, "sha256": _payload_digest(sealed)}, indent=1, sort_keys=True) + "\n"
    _replace(folder / f"{name}.safetensors", content)
    _replace(folder / f"{name}.json", text.encode())
    return _sha256(text.encode())


def read_sealed(folder: Path, name: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The payload and arrays; raises CorruptFitError with the name of the file that is missing or damaged."""
    json_file, arrays_file = folder / f"{name}.json", folder / f"{name}.safetensors"
    payload = _payload(json_file)
    content = _read(arrays_file)
    if _sha256(content) != payload.get("arrays_sha256"):
        raise CorruptFitError(f"{arrays_file}: SHA-256 differs from the one in {json_file.name}")
    try:
        return payload, load(content)
    except SafetensorError as error:
        raise CorruptFitError(f"{arrays_file}: {error}") from error


def _payload(path: Path) -> dict[str, Any]:
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
