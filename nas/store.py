"""StudyStore: where studies and trials live. The SQL store and the in-memory one behave alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from nas.types import Evaluation, Study, Trial
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

    def list_trials(self, study_id: str) -> list[Trial]:
        """All trials by number."""
        ...

    def front(self, study_id: str) -> list[Trial]:
        """The feasible, non-dominated complete trials, by number."""
        ...
