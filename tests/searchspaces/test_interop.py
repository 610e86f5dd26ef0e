from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from searchspaces import interop
from searchspaces.errors import InvalidArchError
from searchspaces.registry import get_space
from searchspaces.space import SearchSpace
from tests.contracts.toy import toy_space
from tests.searchspaces.spaces import sample, seeds, small_spaces

TOY, TINY = toy_space(), get_space("hybrid-tiny")
spaces = st.one_of(small_spaces(), st.sampled_from([TINY, TOY]))


@given(spaces, seeds)
def test_arch_survives_json(space: SearchSpace, seed: int) -> None:
    arch = sample(space, seed)
    data = json.loads(json.dumps(interop.arch_to_json(space, arch)))
    assert interop.arch_from_json(space, data) == arch
    for name in ("genes", "values"):
        part = {key: value for key, value in data.items() if key != name}
        assert interop.arch_from_json(space, part) == arch


def arch_json(**changes: object) -> dict[str, object]:
    return {**interop.arch_to_json(TOY, TOY.extreme(largest=False)), **changes}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "an arch is a JSON object"),
        ([0, 0], "an arch is a JSON object"),
        ("x" * 10_000, "an arch is a JSON object"),
        ({"space": "toy@1"}, "needs genes or values"),
        ({"genes": [0] * 10}, "space must be 'toy@1'; got None"),
        (arch_json(space="toy@2"), "space must be 'toy@1'; got 'toy@2'"),
        (arch_json(space=["toy@1"]), "space must be 'toy@1'"),
        (arch_json(key="00"), "unknown field 'key'"),
        (arch_json(genes=None), "genes must be a list"),
        (arch_json(genes="0" * 10), "genes must be a list"),
        (arch_json(genes={"0": 1}), "genes must be a list"),
        (arch_json(genes=[0] * 9), "has 10 choices; got 9 genes"),
        (arch_json(genes=[True] + [0] * 9), "got True"),
        (arch_json(genes=[0.0] + [0] * 9), "got 0.0"),
        (arch_json(genes=[10**30] + [0] * 9), "must lie in"),
        (arch_json(values=[1]), "values must be an object"),
        (arch_json(values={"depth": True}), "'depth' must be one of"),
        (arch_json(values={"depth": 1.0}), "'depth' must be one of"),
        (arch_json(values={}), "choice 'depth' needs a value"),
        (arch_json(genes=[1] + [0] * 9), "genes and values denote different archs"),
    ],
)
def test_bad_json_is_refused(data: object, message: str) -> None:
    with pytest.raises(InvalidArchError, match=message) as caught:
        interop.arch_from_json(TOY, data)
    assert len(str(caught.value)) < 300


def test_space_json_is_json_and_complete() -> None:
    data = json.loads(json.dumps(interop.space_to_json(get_space("hybrid-cifar"))))
    assert data["id"] == "hybrid-cifar@1"
    assert int(data["size"]) == get_space("hybrid-cifar").size() > 2**64
    choices = {choice["name"]: choice for choice in data["choices"]}
    assert choices["resolution"] == {"name": "resolution", "values": [24, 28, 32], "active_if": None}
    assert choices["s0.b0.kernel"]["active_if"] == {
        "choice": "s0.b0.operator",
        "values": ["convnext", "mbconv"],
    }
    assert choices["s0.b2.operator"]["active_if"] == {"choice": "s0.depth", "values": [3]}


@given(spaces, seeds)
def test_flat_assignment_round_trips_and_drops_the_inactive(space: SearchSpace, seed: int) -> None:
    arch = sample(space, seed)
    flat = interop.assignment(space, arch)
    assert list(flat) == [choice.name for choice in space.choices]
    assert interop.arch_from_assignment(space, flat) == arch
    rng = np.random.default_rng(seed)
    noisy = {
        choice.name: value if on else choice.values[int(rng.integers(len(choice.values)))]
        for choice, value, on in zip(space.choices, flat.values(), space.active(arch.genes), strict=True)
    }
    assert interop.arch_from_assignment(space, noisy) == arch


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nope": 1}, "has no choice named 'nope'"),
        ({"depth": 9}, "'depth' must be one of"),
        ({"depth": [1]}, "'depth' must be one of"),
        ({"depth": True}, "'depth' must be one of"),
    ],
)
def test_bad_assignment_is_refused(change: dict[str, object], message: str) -> None:
    flat = {**interop.assignment(TOY, TOY.extreme(largest=True)), **change}
    with pytest.raises(InvalidArchError, match=message):
        interop.arch_from_assignment(TOY, flat)
    del flat["b0.operator"]
    with pytest.raises(InvalidArchError):
        interop.arch_from_assignment(TOY, flat)


def test_optuna_samples_become_archs() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    distributions = interop.to_optuna(TINY)
    archs = {interop.arch_from_assignment(TINY, study.ask(distributions).params) for _ in range(20)}
    assert len(archs) == 20
    seeded = interop.assignment(TINY, TINY.extreme(largest=True))
    study.enqueue_trial(seeded)
    assert study.ask(distributions).params == seeded


@pytest.mark.ray
def test_ray_tune_domains_offer_exactly_the_options() -> None:
    domains = interop.to_ray_tune(TOY)
    assert {name: tuple(domain.categories) for name, domain in domains.items()} == {
        choice.name: choice.values for choice in TOY.choices
    }
    config = {name: domain.sample() for name, domain in domains.items()}
    assert interop.arch_from_assignment(TOY, config).space == TOY.id


def test_nni_search_space() -> None:
    data = json.loads(json.dumps(interop.to_nni(TOY)))
    assert data["b0.kernel"] == {"_type": "choice", "_value": [3, 5, 7]}
    assert set(data) == {choice.name for choice in TOY.choices}


def test_spaces_load_with_numpy_alone() -> None:
    code = (
        "import sys, pkgutil, importlib, searchspaces\n"
        "for module in pkgutil.iter_modules(searchspaces.__path__):\n"
        "    importlib.import_module('searchspaces.' + module.name)\n"
        "print(sorted({'torch', 'ray', 'optuna', 'nni', 'pandas', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
