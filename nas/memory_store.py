"""InMemoryStore: the StudyStore without a database, for notebooks, tests and short searches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock

from nas.errors import StudyExistsError, StudyNotFoundError, TrialFinishedError, TrialNotFoundError
from nas.pareto import front_mask
from nas.store import check_archs, check_evaluation
from nas.types import Evaluation, Study, Trial, TrialState
from searchspaces.space import Arch


@dataclass(slots=True)
class _Record:
    study: Study
    trials: list[Trial] = field(default_factory=list)


class InMemoryStore:
    """Keeps studies in this process; safe to share among its threads."""

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}
        self._lock = Lock()

    def create_study(self, study: Study) -> None:
        """See StudyStore."""
        with self._lock:
            record = self._records.setdefault(study.id, _Record(study))
        if record.study != study:
            raise StudyExistsError(f"study {study.id!r} exists with other settings")

    def get_study(self, study_id: str) -> Study:
        """See StudyStore."""
        return self._record(study_id).study

    def start_trials(self, study_id: str, archs: Sequence[Arch]) -> list[Trial]:
        """See StudyStore."""
        record = self._record(study_id)
        check_archs(record.study, archs)
        with self._lock:
            first = len(record.trials)
            started = [Trial(first + i, TrialState.RUNNING, Evaluation(arch)) for i, arch in enumerate(archs)]
            record.trials.extend(started)
        return [_copy(trial) for trial in started]

    def finish_trial(self, study_id: str, number: int, evaluation: Evaluation) -> Trial:
        """See StudyStore."""
        return self.finish_trials(study_id, {number: evaluation})[0]

    def finish_trials(self, study_id: str, evaluations: Mapping[int, Evaluation]) -> list[Trial]:
        """See StudyStore."""
        record = self._record(study_id)
        with self._lock:
            finished = [_finished(record, number, evaluation) for number, evaluation in evaluations.items()]
            for trial in finished:
                record.trials[trial.number] = trial
        return [_copy(trial) for trial in finished]

    def list_trials(self, study_id: str) -> list[Trial]:
        """See StudyStore."""
        return [_copy(trial) for trial in list(self._record(study_id).trials)]

    def front(self, study_id: str) -> list[Trial]:
        """See StudyStore; recomputed at each call."""
        study = self.get_study(study_id)
        complete = [t for t in self.list_trials(study_id) if t.state is TrialState.COMPLETE]
        mask = front_mask([t.evaluation for t in complete], study.objectives, study.constraints)
        return [trial for trial, keep in zip(complete, mask, strict=True) if keep]

    def _record(self, study_id: str) -> _Record:
        if study_id not in self._records:
            raise StudyNotFoundError(f"no study {study_id!r}")
        return self._records[study_id]


def _finished(record: _Record, number: int, evaluation: Evaluation) -> Trial:
    """The trial as it is once this evaluation is stored; raises what ``finish_trial`` does."""
    study_id = record.study.id
    if not 0 <= number < len(record.trials):
        raise TrialNotFoundError(f"study {study_id!r} has no trial {number}")
    trial = record.trials[number]
    check_evaluation(record.study, trial, evaluation)
    if trial.state is TrialState.RUNNING:
        state = TrialState.COMPLETE if evaluation.error is None else TrialState.FAILED
        return _copy(Trial(number, state, evaluation))
    if trial.evaluation != evaluation:
        raise TrialFinishedError(f"trial {number} of study {study_id!r} is finished with another evaluation")
    return trial


def _copy(trial: Trial) -> Trial:
    """An equal trial that shares no mutable part with the caller."""
    return replace(trial, evaluation=replace(trial.evaluation, values=dict(trial.evaluation.values)))
