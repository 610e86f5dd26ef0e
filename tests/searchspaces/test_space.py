from __future__ import annotations

import json
import pickle
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from searchspaces.errors import InvalidArchError, NasError
from searchspaces.registry import PRESETS, get_space
from searchspaces.space import Arch, Choice, SearchSpace
from tests.contracts.toy import toy_space
from tests.searchspaces.spaces import sample, seeds, small_spaces, space_of

TINY = get_space("hybrid-tiny")
GOLDEN = Path(__file__).parents[1] / "golden" / "arch_keys.json"
NESTED = space_of(
    Choice("a", ("x", "y", "z")),
    Choice("b", (1, 2), ("a", frozenset({"x", "y"}))),
    Choice("c", (3, 5, 7), ("b", frozenset({2}))),
    Choice("d", (0.5, 1.0)),
)
spaces = st.one_of(small_spaces(), st.sampled_from([TINY, toy_space(), NESTED]))


def raw_genes(space: SearchSpace, seed: int) -> list[int]:
    rng = np.random.default_rng(seed)
    return [int(rng.integers(len(choice.values))) for choice in space.choices]


@given(spaces, seeds, seeds)
def test_equality_is_equality_of_values_and_of_encoding(space: SearchSpace, one: int, two: int) -> None:
    a, b = sample(space, one), sample(space, two)
    same_rows = np.array_equal(space.encode([a]), space.encode([b]))
    assert (a == b) == (space.values(a) == space.values(b)) == same_rows == (a.key == b.key)


@given(spaces, seeds)
def test_one_gene_apart_is_told_apart_exactly_when_that_choice_is_active(
    space: SearchSpace, seed: int
) -> None:
    genes = raw_genes(space, seed)
    a = space.arch(genes)
    for i, on in enumerate(space.active(genes)):
        n = len(space.choices[i].values)
        changed = space.arch([*genes[:i], (genes[i] + 1) % n, *genes[i + 1 :]])
        assert (changed != a) == (on and n > 1)
        assert np.array_equal(space.encode([a]), space.encode([changed])) == (changed == a)


@given(spaces, seeds)
def test_canonical_form_is_idempotent_and_keeps_the_active_values(space: SearchSpace, seed: int) -> None:
    genes = raw_genes(space, seed)
    a = space.arch(genes)
    assert space.arch(a.genes) == a
    assert space.active(genes) == space.active(a.genes)
    for choice, gene, kept, on in zip(space.choices, genes, a.genes, space.active(genes), strict=True):
        assert kept == (gene if on else 0)
        assert (choice.name in space.values(a)) == on


@given(spaces, seeds)
def test_arch_of_values_round_trips(space: SearchSpace, seed: int) -> None:
    a = sample(space, seed)
    assert space.arch_of(space.values(a)) == a
    assert space.arch_of(json.loads(json.dumps(space.values(a)))) == a


@given(seeds)
def test_decode_is_total(seed: int) -> None:
    for name in PRESETS:
        space = get_space(name)
        spec = space.decode(sample(space, seed))
        assert spec.layers[0].slot == "stem"
        assert spec.layers[-1].slot == "head"


@given(small_spaces())
def test_size_and_walk_agree_with_trying_everything(space: SearchSpace) -> None:
    everything = {space.arch(g) for g in product(*(range(len(c.values)) for c in space.choices))}
    walked = list(space.archs())
    assert len(walked) == len(set(walked)) == space.size()
    assert set(walked) == everything
    assert walked == sorted(walked, key=lambda arch: arch.genes)


def test_size_of_nested_conditions_by_hand() -> None:
    # d doubles everything; a=z: 1, a=x or y: b=1 gives 1 and b=2 gives 3
    assert NESTED.size() == 2 * (1 + 2 * (1 + 3))
    assert toy_space(3).size() == 5 + 5**2 + 5**3


def test_size_is_exact_beyond_floats() -> None:
    space = space_of(*(Choice(f"c{i}", (0, 1, 2)) for i in range(80)))
    assert space.size() == 3**80


@given(spaces, seeds)
def test_samples_are_canonical_and_repeat_with_the_seed(space: SearchSpace, seed: int) -> None:
    a = sample(space, seed)
    assert space.arch(a.genes) == a == sample(space, seed)


def test_active_choices_are_sampled_uniformly() -> None:
    rng = np.random.default_rng(0)
    archs = [NESTED.sample(rng) for _ in range(3000)]
    first = np.bincount([arch.genes[0] for arch in archs], minlength=3) / 3000
    assert np.abs(first - 1 / 3).max() < 0.03
    nested = [NESTED.values(arch)["c"] for arch in archs if "c" in NESTED.values(arch)]
    assert len(nested) / 3000 == pytest.approx(1 / 3, abs=0.03)
    assert {value: nested.count(value) / len(nested) for value in (3, 5, 7)} == pytest.approx(
        {3: 1 / 3, 5: 1 / 3, 7: 1 / 3}, abs=0.05
    )


def test_encoding_has_one_column_per_option() -> None:
    archs = list(NESTED.archs())
    matrix = NESTED.encode(archs)
    assert matrix.shape == (18, 3 + 2 + 3 + 2)
    assert matrix.dtype == np.float64
    assert matrix.sum(1).tolist() == [len(NESTED.values(arch)) for arch in archs]
    assert NESTED.encode([]).shape == (0, 10)


def test_extremes() -> None:
    assert NESTED.values(NESTED.extreme(largest=False)) == {"a": "x", "b": 1, "d": 0.5}
    assert NESTED.values(NESTED.extreme(largest=True)) == {"a": "z", "d": 1.0}


@pytest.mark.parametrize(
    ("genes", "message"),
    [
        ([0, 0, 0], "has 4 choices; got 3 genes"),
        ([0] * 5, "has 4 choices; got 5 genes"),
        ([0, 0, 0, 2], r"gene of 'd' must lie in 0\.\.1; got 2"),
        ([-1, 0, 0, 0], r"gene of 'a' must lie in 0\.\.2; got -1"),
        ([True, 0, 0, 0], "gene of 'a' is an option index; got True"),
        ([0, 1.0, 0, 0], "gene of 'b' is an option index; got 1.0"),
        ([0, np.float64(1), 0, 0], "gene of 'b' is an option index"),
        ([np.bool_(True), 0, 0, 0], "gene of 'a' is an option index"),
        ([0, 0, "0", 0], "gene of 'c' is an option index; got '0'"),
        ([0, 0, None, 0], "gene of 'c' is an option index; got None"),
        ("0000", "gene of 'a' is an option index; got '0'"),
        ([2, 0, 9, 0], "gene of 'c' must lie in"),
    ],
)
def test_bad_genes_are_refused(genes: object, message: str) -> None:
    with pytest.raises(InvalidArchError, match=message) as caught:
        NESTED.arch(genes)  # type: ignore[arg-type]
    assert isinstance(caught.value, NasError)
    assert isinstance(caught.value, ValueError)


def test_numpy_integers_are_genes_and_become_plain() -> None:
    arch = NESTED.arch(np.array([1, 1, 2, 1]))
    assert arch == NESTED.arch([1, 1, 2, 1])
    assert all(type(gene) is int for gene in arch.genes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"b": True}, r"'b' must be one of \(1, 2\); got True"),
        ({"b": 1.0}, "'b' must be one of"),
        ({"b": "1"}, "'b' must be one of"),
        ({"b": 3}, "'b' must be one of"),
        ({"b": [1]}, "'b' must be one of"),
        ({"d": 1}, "'d' must be one of"),
        ({"d": float("nan")}, "'d' must be one of"),
        ({"a": "z"}, "choice 'b' is inactive and takes none"),
        ({"c": 3}, "choice 'c' is inactive and takes none"),
        ({"b": 2}, "choice 'c' needs a value"),
        ({"e": 1}, "has no choice named 'e'"),
    ],
)
def test_bad_values_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidArchError, match=message):
        NESTED.arch_of({"a": "x", "b": 1, "d": 0.5, **changes})  # type: ignore[dict-item]


def test_missing_value_is_refused() -> None:
    with pytest.raises(InvalidArchError, match="choice 'd' needs a value"):
        NESTED.arch_of({"a": "z"})


def test_archs_of_another_space_are_refused() -> None:
    foreign = toy_space().extreme(largest=True)
    for use in (NESTED.values, NESTED.decode, lambda arch: NESTED.encode([arch])):
        with pytest.raises(InvalidArchError, match="arch of space toy@1 used in space small@1"):
            use(foreign)


@pytest.mark.parametrize(
    "choices",
    [
        (Choice("a", ()),),
        (Choice("a", (1, 1)),),
        (Choice("a", (1, True)),),
        (Choice("a", (1,)), Choice("a", (2,))),
        (Choice("a", (1,), ("b", frozenset({1}))), Choice("b", (1,))),
        (Choice("a", (1,)), Choice("b", (1,), ("a", frozenset({2})))),
        (Choice("a", (1,), ("a", frozenset({1}))),),
    ],
)
def test_malformed_spaces_are_refused(choices: tuple[Choice, ...]) -> None:
    with pytest.raises(ValueError, match=r"choice .* needs a new name|depends on"):
        space_of(*choices)


def test_spaces_and_archs_survive_another_process() -> None:
    clone = pickle.loads(pickle.dumps(TINY))
    arch = TINY.extreme(largest=True)
    assert clone.decode(arch) == TINY.decode(arch)
    assert pickle.loads(pickle.dumps(arch)) == arch
    assert len({arch, Arch(arch.space, arch.genes)}) == 1


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_golden_keys(name: str) -> None:
    """Stored archs are found by key: a change here breaks every database there is."""
    space = get_space(name)
    for row in json.loads(GOLDEN.read_text())[name]:
        arch = space.arch(row["genes"])
        assert list(arch.genes) == row["genes"]
        assert arch.key == row["key"]
        assert len(space.decode(arch).layers) == row["layers"]


def test_golden_file_covers_every_preset() -> None:
    assert {name: len(rows) for name, rows in json.loads(GOLDEN.read_text()).items()} == dict.fromkeys(
        PRESETS, 5
    )
