"""StudyStore: where studies and trials live. The SQL store and the in-memory one behave alike."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

from nas.types import Evaluation, Study, Trial
from searchspaces.errors import InvalidArchError
from searchspaces.space import Arch


class StudyStore(Protocol):
    """Studies, their trials and their Pareto fronts. Returned objects never change."""

    def create_study(self, study: Study) -> None:
        """Store a new study; an equal one is left alone, another of the same id raises StudyExistsError."""
        ...

    def get_study(self, study_id: str) -> Study:
        """Raises StudyNotFoundError."""
        ...

    def start_trials(self, study_id: str, archs: Sequence[Arch]) -> list[Trial]:
        """Number and store running trials, all or none, in the order of ``archs``."""
        ...

    def finish_trial(self, study_id: str, number: int, evaluation: Evaluation) -> Trial:
        """Finish a trial and update the study's front in the same transaction.

        Idempotent for an equal evaluation; another one raises TrialFinishedError, an unknown
        number TrialNotFoundError. A NaN or infinite value is refused with ValueError.
        """
        ...

    def finish_trials(self, study_id: str, evaluations: Mapping[int, Evaluation]) -> list[Trial]:
        """Finish several trials, by number, in one transaction: all or none, in the order given.

        What ``finish_trial`` says of each holds; a chunk of evaluations costs one commit, not many.
        """
        ...

    def list_trials(self, study_id: str) -> list[Trial]:
        """All trials by number."""
        ...

    def front(self, study_id: str) -> list[Trial]:
        """The feasible, non-dominated complete trials, by number."""
        ...


def check_archs(study: Study, archs: Sequence[Arch]) -> None:
    """What every store checks before it starts trials: InvalidArchError for an arch of another space."""
    for arch in archs:
        if arch.space != study.space:
            raise InvalidArchError(f"study {study.id!r} searches {study.space}; got an arch of {arch.space}")


def check_evaluation(study: Study, trial: Trial, evaluation: Evaluation) -> None:
    """What every store checks before it finishes a trial; raises ValueError and names what is wrong.

    The evaluation must be of the trial's arch, its values finite, and, unless it is an error,
    hold every metric of the study's objectives and constraints.
    """
    where = f"trial {trial.number} of study {study.id!r}"
    if evaluation.arch != trial.evaluation.arch:
        raise ValueError(f"{where} evaluates arch {trial.evaluation.arch.key}; got {evaluation.arch.key}")
    for metric, value in evaluation.values.items():
        if not math.isfinite(value):
            raise ValueError(f"{where}: {metric!r} must be finite; got {value}")
    if evaluation.error is None:
        needed = [o.metric for o in study.objectives] + [c.metric for c in study.constraints]
        for metric in needed:
            if metric not in evaluation.values:
                raise ValueError(f"{where}: the evaluation has no value {metric!r}")
