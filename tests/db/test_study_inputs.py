"""What studies learned from and which predictors took over: stored once, and read as stored."""

from __future__ import annotations

import pytest

from db.errors import InvalidRecordError
from db.evaluations import EvaluationStore
from db.session import Database
from db.study_inputs import Refinement, StudyInputs
from db.study_store import SqlStudyStore
from nas.evaluate.evaluator import PROTOCOL
from nas.types import Evaluation
from tests.contracts.toy import toy_space, toy_study, toy_values

SPACE = toy_space()
ARCHS = list(SPACE.archs())[:6]


def fill(store: SqlStudyStore, study_id: str, numbers: list[float], race: str | None = None) -> None:
    """A study of ARCHS, each under the protocol of its number."""
    store.create_study(toy_study(study_id=study_id, supernet="s", race=race))
    store.start_trials(study_id, ARCHS[: len(numbers)])
    for trial, number in enumerate(numbers):
        values = {**toy_values(SPACE, ARCHS[trial]), PROTOCOL: number}
        store.finish_trial(study_id, trial, Evaluation(ARCHS[trial], values))


def test_the_newest_archs_of_a_protocol_come_oldest_first_and_once(database: Database) -> None:
    store, evaluations = SqlStudyStore(database), EvaluationStore(database)
    fill(store, "a", [1.0, 1.0, 2.0, 1.0])
    fill(store, "b", [1.0, 1.0, 1.0])
    fill(store, "b.random", [1.0] * 6, race="b")
    found = evaluations.newest("s", where=(PROTOCOL, 1.0), limit=100)
    assert [(one.study_id, one.number) for one in found] == [("a", 0), ("a", 1), ("a", 3), ("b", 2)]
    assert all(one.arch == ARCHS[one.number] for one in found)
    assert all(set(one.values) == {"top1", PROTOCOL} for one in found)
    newest = evaluations.newest("s", where=(PROTOCOL, 1.0), limit=2)
    assert [(one.study_id, one.number) for one in newest] == [("b", 1), ("b", 2)]
    assert evaluations.newest("s", where=(PROTOCOL, 3.0), limit=9) == []
    assert evaluations.newest("other", where=(PROTOCOL, 1.0), limit=9) == []


def test_what_a_study_learned_stays_in_its_order(database: Database) -> None:
    store, inputs = SqlStudyStore(database), StudyInputs(database)
    fill(store, "a", [1.0] * 5)
    found = EvaluationStore(database).newest("s", where=(PROTOCOL, 1.0), limit=9)
    for study in ("mine", "other"):
        store.create_study(toy_study(study_id=study, supernet="s"))
    assert not inputs.is_begun("mine")
    inputs.learn("mine", found[::-1])
    inputs.learn("mine", found[:1])
    assert inputs.learned("mine") == found[::-1]
    assert inputs.learned("other") == []
    inputs.learn("other", [])
    store.start_trials("mine", ARCHS[:1])
    assert inputs.is_begun("mine")
    assert not inputs.is_begun("other")


def test_refinements_are_stored_once_and_in_order(database: Database) -> None:
    store, inputs = SqlStudyStore(database), StudyInputs(database)
    store.create_study(toy_study(study_id="s"))
    late, early = Refinement(40, "p2", 3), Refinement(20, "p1", 0, "noisy\0")
    inputs.refine("s", late)
    inputs.refine("s", early)
    inputs.refine("s", Refinement(40, "p3", 9))
    assert inputs.refinements("s") == [Refinement(20, "p1", 0, "noisy\\x00"), late]
    assert inputs.refinements("t") == []
    with pytest.raises(InvalidRecordError, match="first_number"):
        inputs.refine("s", Refinement(0, "p", 1))
