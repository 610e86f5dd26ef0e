"""The contract of nas.store.StudyStore. Subclass it and give the fixture ``store`` (empty)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from nas.errors import StudyExistsError, StudyNotFoundError, TrialFinishedError, TrialNotFoundError
from nas.pareto import front_mask
from nas.store import StudyStore
from nas.types import Constraint, Evaluation, Study, TrialState
from searchspaces.errors import InvalidArchError
from searchspaces.space import Arch
from tests.contracts.toy import LIMIT, toy_space, toy_study

SPACE = toy_space()
ARCHS = tuple(SPACE.archs())


def scored(arch: Arch, top1: float, latency_ms: float) -> Evaluation:
    return Evaluation(arch, {"top1": top1, "latency_ms": latency_ms})


class StudyStoreContract:
    """What every StudyStore does."""

    @pytest.fixture
    def store(self) -> StudyStore:
        raise NotImplementedError

    @pytest.fixture
    def study(self, store: StudyStore) -> Study:
        study = toy_study()
        store.create_study(study)
        return study

    def test_study_comes_back_equal(self, store: StudyStore) -> None:
        study = toy_study(
            constraints=(LIMIT, Constraint("top1", minimum=0.25)),
            supernet="digits",
            device="host-eager",
            predictor="p",
        )
        store.create_study(study)
        assert store.get_study(study.id) == study

    def test_creating_an_equal_study_again_changes_nothing(self, store: StudyStore, study: Study) -> None:
        store.start_trials(study.id, ARCHS[:1])
        store.create_study(study)
        assert len(store.list_trials(study.id)) == 1

    def test_another_study_of_the_same_id_is_refused(self, store: StudyStore, study: Study) -> None:
        with pytest.raises(StudyExistsError, match=study.id):
            store.create_study(replace(study, budget=study.budget + 1))
        assert store.get_study(study.id) == study

    def test_unknown_study_is_named(self, store: StudyStore) -> None:
        calls = (
            lambda: store.get_study("nope"),
            lambda: store.start_trials("nope", ARCHS[:1]),
            lambda: store.finish_trial("nope", 0, Evaluation(ARCHS[0], error="x")),
            lambda: store.list_trials("nope"),
            lambda: store.front("nope"),
        )
        for call in calls:
            with pytest.raises(StudyNotFoundError, match="nope"):
                call()

    def test_trials_are_numbered_densely_in_the_order_given(self, store: StudyStore, study: Study) -> None:
        first = store.start_trials(study.id, ARCHS[:3])
        second = store.start_trials(study.id, ARCHS[3:5])
        assert [t.number for t in first + second] == [0, 1, 2, 3, 4]
        assert [t.evaluation.arch for t in first + second] == list(ARCHS[:5])
        assert all(t.state is TrialState.RUNNING for t in first + second)
        assert store.list_trials(study.id) == first + second

    def test_starting_no_trials_is_allowed(self, store: StudyStore, study: Study) -> None:
        assert store.start_trials(study.id, []) == []

    def test_arch_of_another_space_starts_nothing(self, store: StudyStore, study: Study) -> None:
        with pytest.raises(InvalidArchError, match="other@1"):
            store.start_trials(study.id, [ARCHS[0], Arch("other@1", ARCHS[1].genes)])
        assert store.list_trials(study.id) == []

    def test_studies_do_not_share_trials(self, store: StudyStore, study: Study) -> None:
        store.create_study(toy_study("s2"))
        store.start_trials(study.id, ARCHS[:2])
        assert [t.number for t in store.start_trials("s2", ARCHS[:1])] == [0]
        assert len(store.list_trials(study.id)) == 2

    def test_finished_trial_keeps_its_values(self, store: StudyStore, study: Study) -> None:
        store.start_trials(study.id, ARCHS[:2])
        evaluation = Evaluation(ARCHS[1], {"top1": 0.1 + 0.2, "latency_ms": 1e-9, "macs": 123456789.0})
        finished = store.finish_trial(study.id, 1, evaluation)
        assert finished.state is TrialState.COMPLETE
        assert finished.evaluation == evaluation
        assert store.list_trials(study.id)[1] == finished
        assert store.list_trials(study.id)[0].state is TrialState.RUNNING

    def test_failed_trial_keeps_its_reason(self, store: StudyStore, study: Study) -> None:
        store.start_trials(study.id, ARCHS[:1])
        evaluation = Evaluation(ARCHS[0], error="out of memory: ✗")
        assert store.finish_trial(study.id, 0, evaluation).state is TrialState.FAILED
        assert store.list_trials(study.id)[0].evaluation == evaluation
        assert store.front(study.id) == []

    def test_reporting_the_same_evaluation_twice_is_harmless(self, store: StudyStore, study: Study) -> None:
        store.start_trials(study.id, ARCHS[:1])
        evaluation = scored(ARCHS[0], 0.5, 2.0)
        once = store.finish_trial(study.id, 0, evaluation)
        assert store.finish_trial(study.id, 0, evaluation) == once
        assert store.front(study.id) == [once]

    @pytest.mark.parametrize(
        "other", [scored(ARCHS[0], 0.6, 2.0), Evaluation(ARCHS[0], error="no")], ids=["values", "error"]
    )
    def test_another_evaluation_is_refused(self, store: StudyStore, study: Study, other: Evaluation) -> None:
        store.start_trials(study.id, ARCHS[:1])
        once = store.finish_trial(study.id, 0, scored(ARCHS[0], 0.5, 2.0))
        with pytest.raises(TrialFinishedError):
            store.finish_trial(study.id, 0, other)
        assert store.list_trials(study.id) == [once]

    @pytest.mark.parametrize("number", [-1, 1])
    def test_unknown_trial_is_named(self, store: StudyStore, study: Study, number: int) -> None:
        store.start_trials(study.id, ARCHS[:1])
        with pytest.raises(TrialNotFoundError, match=str(number)):
            store.finish_trial(study.id, number, scored(ARCHS[0], 0.5, 2.0))

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
    @pytest.mark.parametrize("metric", ["top1", "macs"])
    def test_values_must_be_finite(self, store: StudyStore, study: Study, metric: str, value: float) -> None:
        store.start_trials(study.id, ARCHS[:1])
        evaluation = Evaluation(ARCHS[0], {"top1": 0.5, "latency_ms": 2.0, metric: value})
        with pytest.raises(ValueError, match=metric):
            store.finish_trial(study.id, 0, evaluation)
        assert store.list_trials(study.id)[0].state is TrialState.RUNNING

    def test_objective_values_must_be_there(self, store: StudyStore, study: Study) -> None:
        store.start_trials(study.id, ARCHS[:1])
        with pytest.raises(ValueError, match="latency_ms"):
            store.finish_trial(study.id, 0, Evaluation(ARCHS[0], {"top1": 0.5}))
        assert store.list_trials(study.id)[0].state is TrialState.RUNNING

    def test_evaluation_must_be_of_the_trials_arch(self, store: StudyStore, study: Study) -> None:
        store.start_trials(study.id, ARCHS[:2])
        with pytest.raises(ValueError, match=ARCHS[1].key):
            store.finish_trial(study.id, 0, scored(ARCHS[1], 0.5, 2.0))

    def test_several_trials_finish_together(self, store: StudyStore, study: Study) -> None:
        store.start_trials(study.id, ARCHS[:4])
        better, worse = scored(ARCHS[2], 0.9, 1.0), scored(ARCHS[0], 0.5, 2.0)
        finished = store.finish_trials(study.id, {2: better, 1: Evaluation(ARCHS[1], error="no"), 0: worse})
        assert [trial.number for trial in finished] == [2, 1, 0]
        assert store.list_trials(study.id)[:3] == finished[::-1]
        assert store.front(study.id) == finished[:1]
        again = store.finish_trials(study.id, {0: worse, 3: scored(ARCHS[3], 0.95, 1.0)})
        assert again[0] == finished[2]
        assert store.front(study.id) == again[1:]
        assert store.finish_trials(study.id, {}) == []

    def test_several_trials_finish_all_or_none(self, store: StudyStore, study: Study) -> None:
        store.start_trials(study.id, ARCHS[:2])
        with pytest.raises(TrialNotFoundError, match="7"):
            store.finish_trials(study.id, {0: scored(ARCHS[0], 0.5, 2.0), 7: scored(ARCHS[1], 0.5, 2.0)})
        assert {trial.state for trial in store.list_trials(study.id)} == {TrialState.RUNNING}
        assert store.front(study.id) == []

    def test_returned_objects_never_change(self, store: StudyStore, study: Study) -> None:
        started = store.start_trials(study.id, ARCHS[:1])
        values = {"top1": 0.5, "latency_ms": 2.0}
        store.finish_trial(study.id, 0, Evaluation(ARCHS[0], values))
        values["top1"] = 0.9
        listed = store.list_trials(study.id)
        listed[0].evaluation.values["top1"] = 0.1  # type: ignore[index]
        assert started[0].state is TrialState.RUNNING
        assert store.list_trials(study.id)[0].evaluation.values == {"top1": 0.5, "latency_ms": 2.0}

    def test_front_is_kept_as_evaluations_arrive(self, store: StudyStore) -> None:
        study = toy_study(constraints=(LIMIT,))
        store.create_study(study)
        store.start_trials(study.id, ARCHS[:7])
        script = [
            (3, 0.50, 3.0, [3]),
            (0, 0.40, 2.0, [0, 3]),
            (1, 0.60, 2.0, [1]),  # dominates both
            (5, 0.60, 2.0, [1, 5]),  # a tie stays beside it
            (2, 0.99, 6.5, [1, 5]),  # infeasible
            (4, 0.70, 6.0, [1, 4, 5]),  # exactly at the limit is feasible
            (6, 0.65, 6.0, [1, 4, 5]),
        ]
        for number, top1, latency_ms, front in script:
            store.finish_trial(study.id, number, scored(ARCHS[number], top1, latency_ms))
            assert [t.number for t in store.front(study.id)] == front

    @pytest.mark.parametrize("seed", range(3))
    def test_front_equals_recomputation(self, store: StudyStore, seed: int) -> None:
        study = toy_study(f"random-{seed}", constraints=(LIMIT,))
        store.create_study(study)
        rng = np.random.default_rng(seed)
        store.start_trials(study.id, ARCHS[:40])
        for number in rng.permutation(40).tolist():
            top1, latency_ms = rng.integers(0, 8, 2).tolist()  # a coarse grid, so that there are ties
            store.finish_trial(study.id, number, scored(ARCHS[number], top1 / 8, float(latency_ms)))
        trials = store.list_trials(study.id)
        mask = front_mask([t.evaluation for t in trials], study.objectives, study.constraints)
        assert store.front(study.id) == [t for t, keep in zip(trials, mask, strict=True) if keep]

    def test_numbers_stay_dense_under_threads(self, store: StudyStore, study: Study) -> None:
        with ThreadPoolExecutor(4) as threads:
            batches = list(threads.map(lambda i: store.start_trials(study.id, ARCHS[i : i + 3]), range(12)))
        for batch in batches:
            assert [t.number for t in batch] == list(range(batch[0].number, batch[0].number + 3))
        assert [t.number for t in store.list_trials(study.id)] == list(range(36))
