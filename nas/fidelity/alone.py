"""What subnets reach when trained alone, predicted from some that were. Loads neither torch nor ray."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nas.errors import FidelityError
from nas.fidelity.runs import StandaloneRuns, load_runs
from predictors.accuracy.predictor import (
    ACCURACY_FOLDER,
    LIKELIHOOD_FOLDER,
    MIN_ARCHS,
    AccuracyPredictor,
)
from searchspaces.space import SearchSpace

FILE = "standalone.json"  # in a supernet's folder: its subnets that were trained alone


@dataclass(frozen=True, slots=True, eq=False)
class Alone:
    """A predictor of the accuracy that training alone gives, and the runs that it was fitted to."""

    predictor: AccuracyPredictor
    runs: StandaloneRuns


def alone_in(folder: Path, space: SearchSpace) -> Alone | None:
    """What the runs in a supernet's folder tell; None if there are none.

    Predictors of likelihood or accuracy under the shared weights, where the folder holds one, have a
    part in it: likelihood is estimated with less noise.

    Raises FidelityError or CorruptFitError, which name the file, for damage or another space.
    """
    path = folder / FILE
    if not path.exists():
        return None
    cheaper = (folder / name for name in (LIKELIHOOD_FOLDER, ACCURACY_FOLDER))
    lower = next((AccuracyPredictor.load(one, space) for one in cheaper if one.exists()), None)
    runs = load_runs(path)
    try:
        return Alone(predictor_of_runs(runs, space, lower=lower), runs)
    except FidelityError as error:
        raise FidelityError(f"{path}: {error}") from error


def can_be_fitted(runs: StandaloneRuns) -> bool:
    """Whether the runs are enough for ``predictor_of_runs``, with accuracies that it takes."""
    return len(runs.runs) >= MIN_ARCHS and all(0 < run.top1 <= 1 for run in runs.runs)


def predictor_of_runs(
    runs: StandaloneRuns, space: SearchSpace, *, lower: AccuracyPredictor | None = None
) -> AccuracyPredictor:
    """Fitted to the test accuracies of the runs; ``lower`` predicts what shared weights give.

    Raises FidelityError for runs of another space, fewer than 5, or an accuracy that is not in (0, 1].
    """
    if runs.space != space.id:
        raise FidelityError(f"holds subnets of space {runs.space}, the supernet is of {space.id}")
    if len(runs.runs) < MIN_ARCHS:
        raise FidelityError(f"must hold at least {MIN_ARCHS} subnets trained alone; got {len(runs.runs)}")
    for run in runs.runs:
        if not 0 < run.top1 <= 1:
            raise FidelityError(f"top1 of arch {run.arch} must lie in (0, 1]; got {run.top1}")
    predictor = AccuracyPredictor(space, lower=lower)
    predictor.fit([space.arch(run.genes) for run in runs.runs], np.array([run.top1 for run in runs.runs]))
    return predictor
