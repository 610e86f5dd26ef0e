"""Every searcher keeps the contract, and the contract catches searchers that do not."""

from __future__ import annotations

from typing import ClassVar

import pytest

from nas.errors import MissingExtraError, UnknownSearcherError
from nas.search import nni_search
from nas.search.registry import SEARCHERS, get_searcher
from tests.contracts.searcher import SearcherContract
from tests.contracts.toy import LIMIT, OBJECTIVES, toy_evaluate, toy_space


class TestRandom(SearcherContract):
    path: ClassVar[str] = "nas.search.random:RandomSearcher"
    steers: ClassVar[bool] = False


class TestGuided(SearcherContract):
    path: ClassVar[str] = "nas.search.guided.searcher:GuidedSearcher"


class TestStratified(SearcherContract):
    path: ClassVar[str] = "nas.search.baselines.stratified:StratifiedSearcher"
    steers: ClassVar[bool] = False


class TestLocal(SearcherContract):
    path: ClassVar[str] = "nas.search.baselines.local_search:LocalSearcher"


class TestAgeing(SearcherContract):
    path: ClassVar[str] = "nas.search.baselines.ageing:AgeingSearcher"


class TestLinas(SearcherContract):
    path: ClassVar[str] = "nas.search.baselines.linas:LinasSearcher"


class TestNSGA3(SearcherContract):
    path: ClassVar[str] = "nas.search.optuna_search:nsga3"


class TestNSGA2(SearcherContract):
    path: ClassVar[str] = "nas.search.nsga2:NSGA2Searcher"


class TestTPE(SearcherContract):
    path: ClassVar[str] = "nas.search.optuna_search:tpe"


@pytest.mark.slow
class TestGP(SearcherContract):
    path: ClassVar[str] = "nas.search.optuna_search:gp"


def test_gp_is_a_function_of_its_history() -> None:
    """The essence of TestGP, in seconds."""
    space = toy_space(2)
    history = toy_evaluate(space, list(space.archs())[:22])
    first, second = (get_searcher("gp")(space, OBJECTIVES, constraints=(LIMIT,), seed=1) for _ in range(2))
    first.tell(history)
    second.tell(history[:9])
    second.tell(history[9:])
    archs = first.ask(2)
    assert len(set(archs)) == 2
    assert not {evaluation.arch for evaluation in history} & set(archs)
    assert second.ask(2) == archs


class TestNNITPE(SearcherContract):
    path: ClassVar[str] = "nas.search.nni_search:tpe"

    @pytest.fixture(autouse=True)
    def _needs_nni(self) -> None:
        pytest.importorskip("nni", reason="the extra nni is not installed")


class TestNNIEvolution(TestNNITPE):
    path: ClassVar[str] = "nas.search.nni_search:evolution"


WRONG = {
    "RepeatsTold": "test_later_archs_are_canonical_and_new",
    "RepeatsItself": "test_first_archs_are_canonical_and_distinct",
    "HiddenCounter": "test_ask_changes_nothing",
    "NotCanonical": "test_first_archs_are_canonical_and_distinct",
    "IgnoresPending": "test_pending_archs_are_not_asked",
    "OrdersByHash": "test_another_process_asks_the_same",
    "HangsWhenExhausted": "test_exhausted_space_gives_fewer_then_none",
    "GivesUpEarly": "test_exhausted_space_gives_fewer_then_none",
    "MutatesInput": "test_inputs_are_left_alone",
    "Unseeded": "test_fresh_searcher_told_the_same_asks_the_same",
    "IgnoresSeed": "test_seeds_differ",
    "FailsOnErrors": "test_only_failures_are_survived",
}


@pytest.mark.parametrize(("name", "check"), WRONG.items())
def test_contract_catches(name: str, check: str) -> None:
    class Wrong(SearcherContract):
        path: ClassVar[str] = f"tests.contracts.wrong_searchers:{name}"

    with pytest.raises((AssertionError, KeyError)):
        getattr(Wrong(), check)()


def test_random_search_is_not_steered_by_constraints() -> None:
    class Claims(SearcherContract):
        path: ClassVar[str] = "nas.search.random:RandomSearcher"

    with pytest.raises(AssertionError):
        Claims().test_constraints_steer()


def test_every_registered_searcher_has_a_contract_class() -> None:
    classes = [value for value in globals().values() if isinstance(value, type)]
    tested = {cls.path for cls in classes if issubclass(cls, SearcherContract) and hasattr(cls, "path")}
    assert tested == set(SEARCHERS.values())


@pytest.mark.parametrize("name", ["nope", "", "os:system", "nas.search.random:RandomSearcher"])
def test_only_registered_names_are_trusted(name: str) -> None:
    with pytest.raises(UnknownSearcherError, match="nsga2"):
        get_searcher(name)


def test_import_path_that_leads_nowhere_is_named() -> None:
    with pytest.raises(UnknownSearcherError, match=r"nas\.nowhere:thing"):
        get_searcher("nas.nowhere:thing", allow_import=True)


def test_missing_nni_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(nni_search, "import_module", missing)
    with pytest.raises(MissingExtraError, match=r"pip install 'stitchnas\[nni\]'"):
        get_searcher("nni-tpe")(toy_space(), OBJECTIVES, seed=0)
