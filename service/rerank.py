"""Fronts of devices that nothing was searched for: everything evaluated, ranked by their predictors.

No network is run: accuracies are those of all studies of a supernet, latencies are predicted.
Loads neither torch nor ray.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from db.errors import PredictorNotFoundError
from db.evaluations import EvaluatedArch
from db.records import FrontPoint, PredictorRecord
from nas.answers.missing import MissingHypervolume, missing_hypervolume, possible_gains, predicted_front
from nas.evaluate.evaluator import PROTOCOL
from nas.evaluate.predicted import has_predicted_top1
from predictors.errors import CorruptFitError
from predictors.latency_files import AnyLatencyPredictor, load_latency
from predictors.predictor import Prediction
from searchspaces.registry import get_space
from searchspaces.space import Arch
from service.stores import Stores

FloatArray = NDArray[np.float64]
KEPT = 8  # predictors that are kept in memory, with what they have predicted


@dataclass(frozen=True, slots=True)
class Reranked:
    """The front of a supernet's evaluated archs on a device, and what it rests on."""

    predictor: PredictorRecord
    n_evaluated: int
    missing: MissingHypervolume
    points: tuple[FrontPoint, ...]  # fastest first


def reranked(
    device: str, supernet: str | None, stores: Stores, *, leave_out: Set[str] = frozenset()
) -> tuple[list[Reranked], list[str]]:
    """For each supernet (or the one named) with evaluations and a predictor on the device.

    And a warning for each whose predictor cannot be read.
    """
    found, warnings = [], []
    names = [supernet] if supernet is not None else stores.evaluations.supernets()
    for name in (name for name in names if name not in leave_out):
        try:
            record = stores.devices.latest_predictor(name, device)
        except PredictorNotFoundError:
            continue
        evaluated = comparable(stores.evaluations.of_supernet(name))
        if evaluated:
            try:
                found.append(_reranked(record, evaluated))
            except CorruptFitError as error:
                warnings.append(f"the latency predictor of {device!r} cannot be read: {error}")
    return found, warnings


def worth_measuring(record: PredictorRecord, stores: Stores) -> list[Arch]:
    """Evaluated archs of the predictor's supernet that may be on its device's front, most promising first.

    Those that would add the most hypervolume at the low ends of their intervals; none that adds nothing.
    """
    evaluated = comparable(stores.evaluations.of_supernet(record.supernet))
    if not evaluated:
        return []
    archs = [one.arch for one in evaluated]
    latency = _latencies(record.folder, record.space).of(archs)
    gains = possible_gains(np.array([one.values["top1"] for one in evaluated]), latency.mean, latency.low)
    return [archs[row] for row in np.argsort(-gains, kind="stable").tolist() if gains[row] > 0]


def comparable(evaluated: Sequence[EvaluatedArch]) -> list[EvaluatedArch]:
    """One trial of each arch with an accuracy, all under the protocol of the newest one that has one.

    Where nothing but predicted accuracies is known, those of the newest trials.
    """
    with_top1 = [one for one in evaluated if "top1" in one.values]
    measured = [one for one in with_top1 if not has_predicted_top1(one.values)] or with_top1
    if not measured:
        return []
    protocol = measured[-1].values.get(PROTOCOL)
    return list({one.arch: one for one in measured if one.values.get(PROTOCOL) == protocol}.values())


def _reranked(record: PredictorRecord, evaluated: Sequence[EvaluatedArch]) -> Reranked:
    top1 = np.array([one.values["top1"] for one in evaluated])
    latency = _latencies(record.folder, record.space).of([one.arch for one in evaluated])
    rows = np.flatnonzero(predicted_front(top1, latency.mean))
    order = rows[np.lexsort((-top1[rows], latency.mean[rows]))].tolist()
    points = [
        _point(record, evaluated[row], *(float(c[row]) for c in (latency.mean, latency.low, latency.high)))
        for row in order
    ]
    missing = missing_hypervolume(top1, latency.mean, latency.low)
    return Reranked(record, len(evaluated), missing, tuple(points))


def _point(
    record: PredictorRecord, one: EvaluatedArch, latency_ms: float, low_ms: float, high_ms: float
) -> FrontPoint:
    return FrontPoint(
        study_id=one.study_id,
        supernet=record.supernet,
        device=record.device,
        number=one.number,
        arch=one.arch,
        subnet_id=f"{record.supernet}:{one.arch.key}",
        top1=one.values["top1"],
        latency_ms=latency_ms,
        latency_source="predicted",
        predicted_latency_ms=latency_ms,
        latency_low_ms=low_ms,
        latency_high_ms=high_ms,
        measured_latency_ms=None,
        test_top1=None,
        values=one.values,
    )


class _Latencies:
    """Predictions of one stored predictor, each arch predicted once."""

    def __init__(self, predictor: AnyLatencyPredictor) -> None:
        self._predictor = predictor
        self._known: dict[Arch, tuple[float, float, float, float]] = {}

    def of(self, archs: Sequence[Arch]) -> Prediction:
        """Latencies of the archs in ms."""
        known = self._known
        new = [arch for arch in archs if arch not in known]
        if new:
            found = self._predictor.predict(new)
            rows = zip(*(c.tolist() for c in (found.mean, found.std, found.low, found.high)), strict=True)
            known.update(zip(new, rows, strict=True))
        return Prediction(*np.array([known[arch] for arch in archs]).T)


@lru_cache(maxsize=KEPT)
def _latencies(folder: str, space: str) -> _Latencies:
    """Of a stored predictor; every fit has a folder of its own."""
    return _Latencies(load_latency(Path(folder), get_space(space.partition("@")[0])))
