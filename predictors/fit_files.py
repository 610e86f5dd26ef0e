"""A fitted predictor of a device on disk: JSON and safetensors, each checked by SHA-256 when it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast, get_args

import numpy as np
from numpy.typing import NDArray

from predictors.device import Device
from predictors.errors import CorruptFitError, DeviceMismatchError
from predictors.quality import Quality
from predictors.sample import Measured
from predictors.sealed import read_sealed, write_sealed

NAME = "latency"
JSON_FILE = f"{NAME}.json"
OWN, TRANSFERRED = "own", "transferred"  # methods: from one device's measurements, or others' too
ARRAYS_FILE = f"{NAME}.safetensors"


@dataclass(frozen=True, slots=True)
class StoredFit:
    """Everything of a fit: ``space`` is its id, ``names`` its features, float64 ``arrays``.

    ``method`` says which predictor wrote it, ``metric`` what it predicts.
    """

    space: str
    device: Device
    names: tuple[str, ...]
    scalars: Mapping[str, float]
    arrays: Mapping[str, NDArray[np.float64]]
    quality: Quality | None
    method: str = OWN
    metric: Measured = "latency_ms"


def write_fit(folder: Path, fit: StoredFit) -> str:
    """Write both files (see ``predictors.sealed``); returns the SHA-256 of the JSON file."""
    payload = {
        "space": fit.space,
        "device": asdict(fit.device),
        "method": fit.method,
        "metric": fit.metric,
        "names": list(fit.names),
        "scalars": dict(fit.scalars),
        "quality": None if fit.quality is None else asdict(fit.quality),
    }
    return write_sealed(folder, NAME, payload, fit.arrays)


def read_fit(folder: Path, *, space: str, device: Device | None) -> StoredFit:
    """Read both files of a fit to the space of this id, on this device if one is given.

    Raises CorruptFitError with the name of the file that is missing or damaged, or for a fit to
    another space; DeviceMismatchError for one of another fingerprint.
    """
    fit = _read(folder)
    if fit.space != space:
        raise CorruptFitError(f"{folder}: fitted to space {fit.space}, not to {space}")
    if device is not None and device.fingerprint != fit.device.fingerprint:
        raise DeviceMismatchError(
            f"{folder}: fitted on device {fit.device.name} ({fit.device.fingerprint}), "
            f"not on {device.name} ({device.fingerprint})"
        )
    return fit


def _read(folder: Path) -> StoredFit:
    payload, arrays = read_sealed(folder, NAME)
    try:
        return StoredFit(
            space=payload["space"],
            method=payload.get("method", OWN),  # earlier files do not say: they are all of one device
            metric=_metric(payload.get("metric", "latency_ms")),  # and all of latency
            device=Device(**payload["device"]),
            names=tuple(payload["names"]),
            scalars=payload["scalars"],
            arrays=arrays,
            quality=None if payload["quality"] is None else Quality(**payload["quality"]),
        )
    except (KeyError, TypeError) as error:
        raise CorruptFitError(f"{folder}: {error}") from error


def _metric(name: object) -> Measured:
    for metric in get_args(Measured):
        if metric == name:
            return cast("Measured", metric)
    raise TypeError(f"metric {name!r} is not one of {get_args(Measured)}")
