"""NNI's search-space JSON: what is read, and that archs and NNI's parameters denote each other."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.evaluate.inline_pool import InlinePool
from nas.memory_store import InMemoryStore
from nas.search.registry import get_searcher
from nas.study import run_study
from nas.types import Direction, Evaluation, Objective, Study
from searchspaces import interop
from searchspaces.errors import InvalidArchError, InvalidSpaceError
from searchspaces.nni_json import NniSpace, from_nni
from searchspaces.space import Arch
from tests.contracts.toy import toy_space

# The example of nested choices in NNI's documentation, with a second type beside it.
DOCUMENTED = {
    "layer0": {
        "_type": "choice",
        "_value": [
            {"_name": "Empty"},
            {"_name": "Conv", "kernel_size": {"_type": "choice", "_value": [1, 2, 3, 5]}},
            {
                "_name": "Max_pool",
                "pooling_size": {"_type": "choice", "_value": [2, 3, 5]},
                "padding": {"_type": "choice", "_value": [True, False]},
            },
        ],
    },
    "hidden_size": {"_type": "randint", "_value": [124, 127]},
    "dropout": {"_type": "quniform", "_value": [0.25, 1.0, 0.5]},
}


def everything(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All parameters that trials of a space of choices may receive, by its definition."""
    offers = []
    for name, item in data.items():
        values: list[Any] = []
        for value in item["_value"]:
            if isinstance(value, dict):
                inner = {k: v for k, v in value.items() if k != "_name"}
                values += [{"_name": value["_name"], **rest} for rest in everything(inner)]
            else:
                values.append(value)
        offers.append([(name, value) for value in values])
    yield from (dict(one) for one in itertools.product(*offers))


def texts(parameters: list[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps(one, sort_keys=True) for one in parameters)


NAMES = st.text("ab1.", min_size=1, max_size=3)
PLAIN = st.lists(
    st.one_of(st.integers(-3, 3), st.text("xy", max_size=2)), min_size=1, max_size=3, unique_by=repr
).map(lambda values: {"_type": "choice", "_value": values})


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    options = st.lists(
        st.tuples(st.text("PQ", min_size=1, max_size=2), st.dictionaries(NAMES, inner, max_size=2)),
        min_size=1,
        max_size=3,
        unique_by=lambda option: option[0],
    )
    return options.map(
        lambda found: {"_type": "choice", "_value": [{"_name": name, **rest} for name, rest in found]}
    )


SPACES = st.dictionaries(NAMES, st.recursive(PLAIN, nested, max_leaves=4), min_size=1, max_size=3)


@settings(max_examples=60, deadline=None)
@given(SPACES)
def test_archs_and_parameters_are_one_to_one(data: dict[str, Any]) -> None:
    try:
        read = from_nni(json.loads(json.dumps(data)))
    except InvalidSpaceError as error:
        assert "once nested names are written out" in str(error)  # noqa: PT017 - the only other outcome
        return
    if read.space.size() > 300:
        return
    archs = list(read.space.archs())
    parameters = [read.parameters(arch) for arch in archs]
    assert texts(parameters) == texts(list(everything(data)))
    assert [read.arch(one) for one in parameters] == archs


def test_the_documented_example() -> None:
    read = from_nni(DOCUMENTED)
    assert read.space.size() == (1 + 4 + 6) * 3 * 3
    assert {choice.name: choice.values for choice in read.space.choices} == {
        "layer0": ("Empty", "Conv", "Max_pool"),
        "layer0.Conv.kernel_size": (1, 2, 3, 5),
        "layer0.Max_pool.pooling_size": (2, 3, 5),
        "layer0.Max_pool.padding": (True, False),
        "hidden_size": (124, 125, 126),
        "dropout": (0.25, 0.5, 1.0),
    }
    parameters = {"layer0": {"_name": "Conv", "kernel_size": 3}, "hidden_size": 124, "dropout": 0.5}
    assert read.parameters(read.arch(parameters)) == parameters


def test_what_is_written_is_read() -> None:
    toy = toy_space()
    read = from_nni(json.loads(json.dumps(interop.to_nni(toy))), "again")
    assert read.space.id == "again@1"
    assert [(c.name, c.values) for c in read.space.choices] == [(c.name, c.values) for c in toy.choices]
    largest = interop.assignment(toy, toy.extreme(largest=True))
    assert read.parameters(read.arch(largest)) == largest


CHOICE = {"_type": "choice", "_value": [1, 2]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "a search space is a JSON object"),
        ({}, "a search space is a JSON object"),
        ({"lr": {"_type": "loguniform", "_value": [1e-4, 0.1]}}, "'lr' has _type 'loguniform'; read are"),
        ({"a": [1, 2]}, "'a' must be an object with _type and _value"),
        ({"a": {"_type": "choice", "_value": []}}, "'a' needs _type and a list _value"),
        ({"a": {**CHOICE, "_more": 1}}, "'a' needs _type and a list _value"),
        ({"a": {"_type": "choice", "_value": [1, 1]}}, "'a' has an option twice"),
        ({"a": {"_type": "choice", "_value": [True, 1]}}, "'a' has an option twice"),
        ({"a": {"_type": "choice", "_value": [[1]]}}, "options of 'a' must be text"),
        ({"a": {"_type": "choice", "_value": [float("nan")]}}, "options of 'a' must be text"),
        ({"a": {"_type": "choice", "_value": [{"_name": "p"}, 1]}}, "options of 'a' must all be objects"),
        ({"a": {"_type": "choice", "_value": [{"_name": "p", "q": 3}]}}, "'a.p.q' must be an object"),
        (
            {"a": {"_type": "choice", "_value": [{"_name": "p", "q": CHOICE}]}, "a.p.q": CHOICE},
            "'a.p.q'",
        ),
        ({"a": {"_type": "randint", "_value": [3, 3]}}, "randint needs integers"),
        ({"a": {"_type": "randint", "_value": [0, 10**12]}}, "randint needs integers"),
        ({"a": {"_type": "randint", "_value": [0.5, 3]}}, "randint needs integers"),
        ({"a": {"_type": "quniform", "_value": [0, 1]}}, r"quniform takes \[low, high, q\]"),
        ({"a": {"_type": "quniform", "_value": [0, 1, 0]}}, "quniform needs low < high"),
    ],
)
def test_what_cannot_be_read_is_named(data: object, message: str) -> None:
    with pytest.raises(InvalidSpaceError, match=message):
        from_nni(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": 900}, "'hidden_size' must be one of"),
        ({"more": 1}, "no parameter 'more' in 'the space'"),
        ({"layer0": "Conv"}, "'layer0' must be an object with _name"),
        ({"layer0": {"_name": "Conv"}}, "'layer0.Conv.kernel_size' needs a value"),
        ({"layer0": {"_name": "Empty", "kernel_size": 3}}, "no parameter 'kernel_size' in 'layer0.Empty'"),
        (
            {"layer0": {"_name": "Conv"}, "layer0.Conv.kernel_size": 3},
            "no parameter 'layer0.Conv",
        ),
    ],
)
def test_parameters_of_another_space_are_refused(change: dict[str, Any], message: str) -> None:
    good = {"layer0": {"_name": "Empty"}, "hidden_size": 124, "dropout": 0.5}
    read = from_nni(DOCUMENTED)
    read.arch(good)
    with pytest.raises(InvalidArchError, match=message):
        read.arch({**good, **change})


class OwnFunction:
    """What a user of NNI has: a function of a trial's parameters."""

    metrics = ("accuracy", "seconds")

    def __init__(self, read: NniSpace) -> None:
        self._read = read

    def evaluate(self, archs: Sequence[Arch]) -> list[Evaluation]:
        return [Evaluation(arch, self._values(self._read.parameters(arch))) for arch in archs]

    def _values(self, parameters: dict[str, Any]) -> dict[str, float]:
        kernel = parameters["layer0"].get("kernel_size", 0)
        return {"accuracy": 0.1 * kernel - 0.01 * parameters["dropout"], "seconds": 1.0 + kernel}


@pytest.mark.parametrize("searcher", ["guided", "nsga2", "random"])
def test_any_searcher_searches_it_with_the_users_function(searcher: str) -> None:
    read = from_nni(DOCUMENTED)
    objectives = (
        Objective("accuracy", Direction.MAXIMIZE, -1.0),
        Objective("seconds", Direction.MINIMIZE, 10.0),
    )
    study = Study("s", read.space.id, objectives, searcher, budget=99, seed=0, batch_size=33)
    store = InMemoryStore()
    found = get_searcher(searcher)(read.space, objectives, seed=0)
    result = run_study(study, found, InlinePool(OwnFunction(read)), store)
    assert result.n_trials == 99
    kernels = {read.parameters(t.evaluation.arch)["layer0"].get("kernel_size", 0) for t in store.front("s")}
    assert kernels == {0, 1, 2, 3, 5}


def test_archs_of_it_have_no_network() -> None:
    read = from_nni(DOCUMENTED)
    with pytest.raises(InvalidArchError, match="no networks"):
        read.space.decode(read.space.extreme(largest=True))
