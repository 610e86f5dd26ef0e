"""Stored evaluations are found across studies of a supernet, under their own protocol only."""

from __future__ import annotations

from db.session import Database
from db.study_store import SqlStudyStore
from nas.evaluate.evaluator import PROTOCOL
from nas.evaluate.inline_pool import InlinePool
from nas.evaluate.joint import JointEvaluator
from nas.evaluate.recall import ProtocolEvaluator, RecallingPool
from nas.search.registry import get_searcher
from nas.study import run_study
from nas.types import Evaluation
from searchspaces.space import Arch
from tests.contracts.toy import ToyEvaluator, toy_space, toy_study

SPACE = toy_space()
ARCHS = list(SPACE.archs())[:6]


def store_with(database: Database) -> SqlStudyStore:
    """Study "a" of supernet "s": two archs of protocol 1, one of 2, one without, one failed, one running."""
    store = SqlStudyStore(database)
    store.create_study(toy_study(study_id="a", supernet="s"))
    store.start_trials("a", ARCHS)
    for number, protocol in enumerate((1.0, 1.0, 2.0)):
        values = {"top1": number / 10, "latency_ms": 1.0, PROTOCOL: protocol}
        store.finish_trial("a", number, Evaluation(ARCHS[number], values))
    store.finish_trial("a", 3, Evaluation(ARCHS[3], {"top1": 0.9, "latency_ms": 1.0}))
    failed = {"top1": 0.9, PROTOCOL: 1.0}
    store.finish_trial("a", 4, Evaluation(ARCHS[4], failed, error="dropped"))
    return store


def recall(store: SqlStudyStore, supernet: str, number: float) -> dict[Arch, dict[str, float]]:
    return store.recall(supernet, ARCHS, ("top1",), where=(PROTOCOL, number))


def test_only_complete_trials_of_the_protocol_and_supernet_are_recalled(database: Database) -> None:
    store = store_with(database)
    assert recall(store, "s", 1.0) == {ARCHS[0]: {"top1": 0.0}, ARCHS[1]: {"top1": 0.1}}
    assert recall(store, "s", 2.0) == {ARCHS[2]: {"top1": 0.2}}
    assert recall(store, "s", 3.0) == {}
    assert recall(store, "other", 1.0) == {}
    assert store.recall("s", ARCHS[1:2], ("top1",), where=(PROTOCOL, 1.0)) == {ARCHS[1]: {"top1": 0.1}}
    assert store.recall("s", [], ("top1",), where=(PROTOCOL, 1.0)) == {}
    assert store.recall("s", ARCHS, ("top1", "macs"), where=(PROTOCOL, 1.0)) == {}


def test_of_several_studies_the_first_one_counts(database: Database) -> None:
    store = store_with(database)
    store.create_study(toy_study(study_id="b", supernet="s"))
    store.start_trials("b", ARCHS[:1])
    store.finish_trial("b", 0, Evaluation(ARCHS[0], {"top1": 0.7, "latency_ms": 2.0, PROTOCOL: 1.0}))
    assert recall(store, "s", 1.0)[ARCHS[0]] == {"top1": 0.0}


def test_a_second_study_evaluates_nothing_again_unless_the_protocol_differs(database: Database) -> None:
    store = SqlStudyStore(database)
    counts = []
    for study_id, protocol in (("first", 1.0), ("second", 1.0), ("third", 2.0)):
        study = toy_study(study_id=study_id, supernet="s", budget=24)
        toy = CountingToy()
        pool = RecallingPool(
            InlinePool(JointEvaluator([ProtocolEvaluator(protocol), toy])),
            lambda archs, number=protocol: store.recall(
                "s", archs, ("top1", "latency_ms", PROTOCOL), where=(PROTOCOL, number)
            ),
            [],
        )
        run_study(study, get_searcher("random")(SPACE, study.objectives, seed=1), pool, store)
        counts.append(toy.n)
    assert counts == [24, 0, 24]
    first, second = (store.list_trials(study_id) for study_id in ("first", "second"))
    assert first == second


class CountingToy(ToyEvaluator):
    """Counts the archs that it evaluates."""

    def __init__(self) -> None:
        super().__init__(SPACE)
        self.n = 0

    def evaluate(self, archs):  # type: ignore[no-untyped-def]
        self.n += len(archs)
        return super().evaluate(archs)
