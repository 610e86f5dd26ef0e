"""Course: a race from round to round. What is asked comes from outside, so that anything may ask it.

In a round every racer asks one batch, knowing only what it was told before; the archs that no racer
has asked yet are evaluated once and paid from the common budget, the others are free. All of it is
a function of the settings and of the evaluations' values: racers take their turns in a fixed order
and nobody waits for the clock. Batches are stored before they run, so a race that was killed is
replayed from the store up to where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from nas.errors import ConfigError
from nas.evaluate.chunks import evaluate_chunks
from nas.evaluate.evaluator import EvaluationPool
from nas.pareto import cost_matrix, hypervolume, pareto_front, reference_costs
from nas.race.curves import Curve, curve_of
from nas.race.race import Race, Rungs, survivors
from nas.store import StudyStore
from nas.study import StudyProgress, alike_together, check_settings, sound
from nas.types import Evaluation, Study, Trial, TrialState
from searchspaces.space import Arch


@dataclass(frozen=True, slots=True)
class Request:
    """Racer number ``racer``, told ``n_told`` evaluations, is to ask ``n_archs``."""

    racer: int
    n_told: int
    n_archs: int


@dataclass(frozen=True, slots=True)
class RaceProgress:
    """How far a race is: its common study, and the searchers that still run."""

    study: StudyProgress
    racing: tuple[str, ...]


@dataclass(slots=True)
class _Found:
    """What one study of the race was told, and what that is worth."""

    study: Study
    told: list[Evaluation] = field(default_factory=list)
    front: list[Evaluation] = field(default_factory=list)
    points: list[tuple[int, float]] = field(default_factory=list)

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        if evaluations:
            self.told.extend(evaluations)
            found = [*self.front, *evaluations]
            self.front = pareto_front(found, self.study.objectives, self.study.constraints)
            self.points.append((len(self.told), self.hypervolume()))

    def hypervolume(self) -> float:
        objectives = self.study.objectives
        return hypervolume(cost_matrix(self.front, objectives), reference_costs(objectives))


class Course:
    """One race; ``requests`` says what is to be asked, ``settle`` takes the answers."""

    def __init__(
        self,
        race: Race,
        pool: EvaluationPool,
        store: StudyStore,
        *,
        report: Callable[[RaceProgress], None] = lambda _: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Stores the race's studies or finds them there. Raises ConfigError and StudyExistsError."""
        self._race, self._pool, self._store = race, pool, store
        self._report, self._should_stop = report, should_stop
        for study in (race.study, *race.racers):
            check_settings(study)
            store.create_study(study)
        self._stored = [store.list_trials(study.id) for study in race.racers]
        self._stored_union = store.list_trials(race.study.id)
        self.union = _Found(race.study)
        self._racers = [_Found(study) for study in race.racers]
        self._rungs = Rungs(race.study.budget, len(race.searchers))
        self._rung = 0
        self._racing = race.searchers
        self._dropped: dict[str, int] = {}
        self._exhausted: set[int] = set()
        self._known: dict[Arch, Evaluation] = {}
        self.stopped = False

    @property
    def exhausted(self) -> bool:
        """Whether the racers ran out of archs before the budget did."""
        return not self._due() and len(self.union.told) < self._race.study.budget

    @property
    def over(self) -> bool:
        """Whether the budget is spent, no racer can ask any more, or the caller stopped the race."""
        return self.stopped or len(self.union.told) >= self._race.study.budget or not self._due()

    def requests(self) -> list[Request]:
        """What must be asked for the race to go on; [] when it is over. Rounds in the store are replayed."""
        while not self.over:
            size = self._size()
            missing = [i for i in self._due() if not self._batch(i)]
            if missing and self._should_stop():
                self.stopped = True
            elif missing:
                return [Request(i, len(self._racers[i].told), size) for i in missing]
            else:
                self.settle({})
        return []

    def told(self, racer: int, since: int = 0) -> list[Evaluation]:
        """What a racer was told after its first ``since`` evaluations, in that order."""
        return self._racers[racer].told[since:]

    def settle(self, asked: Mapping[int, Sequence[Arch]]) -> None:
        """Finish a round, given the archs of its ``requests`` by racer: evaluate, tell, drop the losers."""
        due = self._due()
        batches = {i: self._start(i, batch) for i, batch in self._affordable(due, asked).items()}
        fresh = self._fresh(batches)
        if not self._evaluate(fresh):
            self.stopped = True
            return
        spent_all = len(self.union.told) >= self._race.study.budget
        size = self._size()
        for i, trials in batches.items():
            self._racers[i].tell(self._finish(i, trials))
            if len(trials) < size and not spent_all:
                self._exhausted.add(i)
        self._end_rung()

    def curves(self) -> tuple[Curve, ...]:
        """One per searcher, in the order of the race."""
        return tuple(
            curve_of(name, [self._racers[i].points for i in self._of(name)], self._dropped.get(name))
            for name in self._race.searchers
        )

    def _of(self, searcher: str) -> list[int]:
        return [i for i, racer in enumerate(self._race.racers) if racer.searcher == searcher]

    def _due(self) -> list[int]:
        """The racers that ask in this round, in order."""
        return [
            i
            for i, racer in enumerate(self._race.racers)
            if racer.searcher in self._racing and i not in self._exhausted
        ]

    def _size(self) -> int:
        return self._rungs.batch(len(self._due()), self._race.study.batch_size)

    def _batch(self, racer: int) -> list[Trial]:
        """The racer's trials of this round, where they are stored already."""
        first = len(self._racers[racer].told)
        return self._stored[racer][first : first + self._size()]

    def _affordable(self, due: Sequence[int], asked: Mapping[int, Sequence[Arch]]) -> dict[int, list[Arch]]:
        """Each racer's batch, cut before the first arch that the budget does not cover any more."""
        left = self._race.study.budget - len(self.union.told)
        new: set[Arch] = set()
        batches: dict[int, list[Arch]] = {}
        for i in due:
            stored = [trial.evaluation.arch for trial in self._batch(i)]
            batches[i] = []
            for arch in stored or asked.get(i, ()):
                if arch not in self._known and arch not in new:
                    if len(new) == left:
                        break
                    new.add(arch)
                batches[i].append(arch)
        return batches

    def _start(self, racer: int, archs: Sequence[Arch]) -> list[Trial]:
        stored = self._batch(racer)
        if stored or not archs:
            return stored
        trials = self._store.start_trials(self._race.racers[racer].id, archs)
        self._stored[racer].extend(trials)
        return trials

    def _fresh(self, batches: Mapping[int, Sequence[Trial]]) -> list[Trial]:
        """The common study's trials of this round: what no racer asked in an earlier one."""
        archs = [trial.evaluation.arch for trials in batches.values() for trial in trials]
        fresh = [arch for arch in dict.fromkeys(archs) if arch not in self._known]
        first = len(self.union.told)
        stored = self._stored_union[first : first + len(fresh)]
        if not stored and fresh:
            stored = self._store.start_trials(self._race.study.id, fresh)
            self._stored_union.extend(stored)
        if [trial.evaluation.arch for trial in stored] != fresh:
            raise ConfigError(
                f"race {self._race.study.id!r} has other trials than its racers; it was stored by another "
                "version or changed by hand, so start a new one"
            )
        return stored

    def _evaluate(self, trials: Sequence[Trial]) -> bool:
        """Evaluate what of these still runs, and count all; False if stopped before."""
        study = self._race.study
        done = {t.number: t.evaluation for t in trials if t.state is not TrialState.RUNNING}
        running = alike_together([trial for trial in trials if trial.state is TrialState.RUNNING])
        archs = [trial.evaluation.arch for trial in running]
        for ended in evaluate_chunks(archs, self._pool, self._should_stop):
            sound_ones = {running[i].number: sound(study, evaluation) for i, evaluation in ended}
            finished = self._store.finish_trials(study.id, sound_ones)
            done |= {trial.number: trial.evaluation for trial in finished}
            self._show(len(self.union.told) + len(done))
        if len(done) < len(trials):
            return False
        evaluations = [done[trial.number] for trial in trials]
        self._known.update((evaluation.arch, evaluation) for evaluation in evaluations)
        self.union.tell(evaluations)
        self._show(len(self.union.told))
        return True

    def _finish(self, racer: int, trials: Sequence[Trial]) -> list[Evaluation]:
        """The evaluations of a racer's trials, stored with them."""
        known = {trial.number: self._known[trial.evaluation.arch] for trial in trials}
        running = [trial.number for trial in trials if trial.state is TrialState.RUNNING]
        if running:
            self._store.finish_trials(self._race.racers[racer].id, {n: known[n] for n in running})
        return list(known.values())

    def _end_rung(self) -> None:
        """At the end of a rung the worse half of the searchers stops."""
        if len(self._racing) == 1 or len(self.union.told) < self._rungs.end(self._rung):
            return
        self._rung += 1
        scores = {
            name: float(median(self._racers[i].hypervolume() for i in self._of(name)))
            for name in self._racing
        }
        staying = survivors(scores)
        for name in self._racing:
            if name not in staying:
                self._dropped[name] = max(len(self._racers[i].told) for i in self._of(name))
        self._racing = staying

    def _show(self, n_trials: int) -> None:
        union = self.union
        failed = sum(evaluation.error is not None for evaluation in union.told)
        progress = StudyProgress(
            n_trials, failed, self._race.study.budget, len(union.front), union.hypervolume()
        )
        self._report(RaceProgress(progress, self._racing))
