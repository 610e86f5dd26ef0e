"""Reading a device's latency predictor, whichever method fitted it."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from predictors.device import Device
from predictors.fit_files import TRANSFERRED, read_fit
from predictors.latency import LatencyPredictor
from predictors.transfer.predictor import TransferPredictor
from searchspaces.space import SearchSpace

AnyLatencyPredictor: TypeAlias = LatencyPredictor | TransferPredictor


def load_latency(folder: Path, space: SearchSpace, device: Device | None = None) -> AnyLatencyPredictor:
    """The predictor that was saved in ``folder``; raises as ``LatencyPredictor.load``."""
    if read_fit(folder, space=space.id, device=device).method == TRANSFERRED:
        return TransferPredictor.load(folder, space, device)
    return LatencyPredictor.load(folder, space, device)
