"""run_study: the only search loop. Ask, evaluate, store, tell; resumable after every step.

The archs of a study depend on its settings and on the values of its evaluations, never on
timing: trials are asked in batches, a batch is stored in one step before any of it runs, and
it is told in the order of its numbers once all of it is finished. Batch i therefore holds the
numbers [i * batch_size, (i + 1) * batch_size), and a short batch before the budget means that
the space is exhausted; nothing but the trials needs to be kept to go on after a crash.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from nas.errors import ConfigError, EvaluatorError, InfeasibleError
from nas.evaluate.chunks import evaluate_chunks
from nas.evaluate.evaluator import EvaluationPool
from nas.pareto import cost_matrix, hypervolume, is_feasible, pareto_front, reference_costs
from nas.search.searcher import Searcher
from nas.store import StudyStore
from nas.types import Constraint, Evaluation, Study, Trial, TrialState
from searchspaces.space import Arch


@dataclass(frozen=True, slots=True)
class StudyProgress:
    """How far a study is; ``n_trials`` counts finished trials, ``n_failed`` the failed among them."""

    n_trials: int
    n_failed: int
    budget: int
    front_size: int
    hypervolume: float


@dataclass(frozen=True, slots=True)
class StudyResult:
    """How a study ended: its budget spent, its space ``exhausted`` before, or ``stopped`` by the caller."""

    n_trials: int
    n_failed: int
    exhausted: bool
    stopped: bool
    hypervolumes: tuple[tuple[int, float], ...]  # (trials told, hypervolume of the front then), one per batch


def run_study(
    study: Study,
    searcher: Searcher,
    pool: EvaluationPool,
    store: StudyStore,
    *,
    until: int | None = None,
    report: Callable[[StudyProgress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> StudyResult:
    """Run a study to its budget, or to ``until`` trials, from wherever the store says it is.

    ``searcher`` has an empty history: what the store holds is told to it first. ``report`` is
    called whenever a chunk of evaluations is stored. When ``should_stop`` returns True the chunks
    in flight are still awaited and stored, then the call returns.

    Raises ConfigError for settings out of range, EvaluatorError when the evaluator breaks its
    contract or fails on every arch, and InfeasibleError when no evaluated arch satisfies the
    constraints; the message names them and the closest value found. ``until`` must be a whole number
    of batches below the budget, for batches are told whole: otherwise ConfigError.
    """
    check_settings(study)
    if until is not None and not (0 < until < study.budget and until % study.batch_size == 0):
        raise ConfigError(
            f"until must be a multiple of batch_size {study.batch_size} below the budget {study.budget}; "
            f"got {until}"
        )
    store.create_study(study)
    run = _Run(study, pool, store, report or (lambda _: None), should_stop or (lambda: False))
    result = run.advance(searcher, until or study.budget)
    if not result.stopped and (until is None or result.exhausted):
        check_outcome(study, run.evaluations)
    return result


@dataclass(slots=True)
class _Run:
    """The evaluations of one call of run_study, and what is known of the front."""

    study: Study
    pool: EvaluationPool
    store: StudyStore
    report: Callable[[StudyProgress], None]
    should_stop: Callable[[], bool]
    evaluations: list[Evaluation] = field(default_factory=list)
    front: list[Evaluation] = field(default_factory=list)
    hypervolumes: list[tuple[int, float]] = field(default_factory=list)
    n_failed: int = 0

    @property
    def n_trials(self) -> int:
        return len(self.evaluations)

    def advance(self, searcher: Searcher, until: int) -> StudyResult:
        """Batch by batch to so many trials, the end of the space or a stop; first those in the store."""
        study = self.study
        stored = self.store.list_trials(study.id)
        number, exhausted = 0, False
        while number < until and not exhausted:
            size = min(study.batch_size, study.budget - number)
            batch = stored[number : number + size]
            if not batch:
                if self.should_stop():
                    return self._result(stopped=True)
                batch = self.store.start_trials(study.id, ask_exactly(searcher, size))
            evaluations = self.finish(batch)
            if evaluations is None:
                return self._result(stopped=True)
            searcher.tell(evaluations)
            number += len(batch)
            exhausted = len(batch) < size
            if batch:
                self.hypervolumes.append((number, self._hypervolume()))
        return self._result(exhausted=exhausted)

    def _result(self, *, exhausted: bool = False, stopped: bool = False) -> StudyResult:
        return StudyResult(self.n_trials, self.n_failed, exhausted, stopped, tuple(self.hypervolumes))

    def finish(self, batch: Sequence[Trial]) -> list[Evaluation] | None:
        """Evaluate what of the batch still runs; its evaluations by number, or None if stopped before."""
        finished = {t.number: t.evaluation for t in batch if t.state is not TrialState.RUNNING}
        self._add(list(finished.values()))
        running = alike_together([trial for trial in batch if trial.state is TrialState.RUNNING])
        archs = [trial.evaluation.arch for trial in running]
        for ended in evaluate_chunks(archs, self.pool, self.should_stop):
            finished |= self._store({running[i].number: evaluation for i, evaluation in ended})
        if len(finished) < len(batch):
            return None
        return [finished[trial.number] for trial in batch]

    def _store(self, ended: Mapping[int, Evaluation]) -> dict[int, Evaluation]:
        sound_ones = {number: sound(self.study, evaluation) for number, evaluation in ended.items()}
        finished = self.store.finish_trials(self.study.id, sound_ones)
        self._add([trial.evaluation for trial in finished])
        return {trial.number: trial.evaluation for trial in finished}

    def _add(self, evaluations: Sequence[Evaluation]) -> None:
        if not evaluations:
            return
        self.evaluations.extend(evaluations)
        self.n_failed += sum(evaluation.error is not None for evaluation in evaluations)
        self.front = pareto_front([*self.front, *evaluations], self.study.objectives, self.study.constraints)
        self.report(
            StudyProgress(
                self.n_trials, self.n_failed, self.study.budget, len(self.front), self._hypervolume()
            )
        )

    def _hypervolume(self) -> float:
        objectives = self.study.objectives
        return hypervolume(cost_matrix(self.front, objectives), reference_costs(objectives))


def alike_together(trials: Sequence[Trial]) -> list[Trial]:
    """Sorted so that archs which begin alike come into one chunk: evaluators share what they share."""
    return sorted(trials, key=lambda trial: (trial.evaluation.arch.genes, trial.number))


def ask_exactly(searcher: Searcher, size: int) -> list[Arch]:
    """``size`` archs, or fewer only if the searcher has no more at all."""
    archs: list[Arch] = []
    while len(archs) < size and (more := searcher.ask(size - len(archs), pending=archs)):
        archs.extend(more)
    return archs


def sound(study: Study, evaluation: Evaluation) -> Evaluation:
    """The evaluation, as an error if a value is not finite; a missing metric is the evaluator's fault."""
    if evaluation.error is not None:
        return evaluation
    needed = {o.metric for o in study.objectives} | {c.metric for c in study.constraints}
    if missing := sorted(needed - set(evaluation.values)):
        raise EvaluatorError(f"study {study.id!r} needs {missing[0]!r}, which the evaluator does not give")
    for metric, value in evaluation.values.items():
        if not math.isfinite(value):
            return Evaluation(evaluation.arch, error=f"{metric} is not finite: {value}")
    return evaluation


def check_settings(study: Study) -> None:
    """Raise ConfigError, which names the field, for settings out of range."""
    for name, value in (("budget", study.budget), ("batch_size", study.batch_size)):
        if value < 1:
            raise ConfigError(f"{name} of study {study.id!r} must be at least 1; got {value}")
    if study.seed < 0:
        raise ConfigError(f"seed of study {study.id!r} must not be negative; got {study.seed}")
    metrics = [objective.metric for objective in study.objectives]
    if not metrics or len(set(metrics)) < len(metrics):
        raise ConfigError(
            f"objectives of study {study.id!r} must be one or more distinct metrics; got {metrics}"
        )
    for objective in study.objectives:
        if not math.isfinite(objective.reference):
            raise ConfigError(f"reference of {objective.metric!r} must be finite; got {objective.reference}")


def check_outcome(study: Study, evaluations: Sequence[Evaluation]) -> None:
    """Raise when a study has nothing to show, and say why: EvaluatorError or InfeasibleError."""
    complete = [e for e in evaluations if e.error is None]
    if evaluations and not complete:
        raise EvaluatorError(
            f"all {len(evaluations)} trials of study {study.id!r} failed; "
            f"the first with: {evaluations[0].error}"
        )
    if complete and not any(is_feasible(evaluation, study.constraints) for evaluation in complete):
        raise InfeasibleError(_infeasible_message(study, complete))


def _infeasible_message(study: Study, complete: Sequence[Evaluation]) -> str:
    """Name the constraints that no arch satisfies or, if each is satisfied by some arch, all of them."""
    parts: dict[Constraint, str] = {}
    unmet: list[Constraint] = []
    for constraint in study.constraints:
        values = [evaluation.values[constraint.metric] for evaluation in complete]
        closest = min(values, key=constraint.violation)
        parts[constraint] = f"{_bounds(constraint)} (closest found: {closest:g})"
        if constraint.violation(closest) > 0:
            unmet.append(constraint)
    named = unmet or list(study.constraints)
    together = "" if unmet else " together"
    return (
        f"none of {len(complete)} evaluated archs of study {study.id!r} satisfies{together} "
        + " and ".join(parts[constraint] for constraint in named)
    )


def _bounds(constraint: Constraint) -> str:
    low = "" if constraint.minimum is None else f"{constraint.minimum:g} <= "
    high = "" if constraint.maximum is None else f" <= {constraint.maximum:g}"
    return f"{low}{constraint.metric}{high}"
