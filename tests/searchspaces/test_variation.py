from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from searchspaces.errors import InvalidArchError
from searchspaces.registry import get_space
from searchspaces.space import Arch, Choice, SearchSpace
from searchspaces.variation import crossover, mutate, neighbours, sample_lean
from tests.contracts.toy import toy_space
from tests.searchspaces.spaces import sample, seeds, small_spaces, space_of

TINY = get_space("hybrid-tiny")
spaces = st.one_of(small_spaces(), st.sampled_from([TINY, toy_space()]))


@given(spaces, seeds)
def test_lean_samples_are_canonical_and_seeded(space: SearchSpace, seed: int) -> None:
    arch = sample_lean(space, np.random.default_rng(seed))
    assert space.arch(arch.genes) == arch
    assert arch == sample_lean(space, np.random.default_rng(seed))


def test_lean_samples_lean_in_numbers_only_and_reach_the_largest() -> None:
    space = space_of(*(Choice(f"c{i}", (1, 2)) for i in range(6)), Choice("kind", ("a", "b")))
    rng = np.random.default_rng(0)
    genes = np.array([sample_lean(space, rng).genes for _ in range(4000)])
    assert np.allclose(genes[:, :6].mean(0), 0.25, atol=0.03)  # half of the half that is not forced
    assert abs(genes[:, 6].mean() - 0.5) < 0.03
    small = (genes[:, :6].sum(1) == 0).mean()
    assert small > 0.1  # 1/64 of uniform archs
    assert (genes[:, :6].sum(1) == 6).any()


@given(spaces, seeds, st.floats(0, 1))
def test_a_mutant_is_canonical_and_differs_unless_there_is_one_arch(
    space: SearchSpace, seed: int, rate: float
) -> None:
    arch = sample(space, seed)
    mutant = mutate(space, arch, np.random.default_rng(seed), rate=rate)
    assert space.arch(mutant.genes) == mutant
    assert (mutant == arch) == (not neighbours(space, arch))
    assert mutant == mutate(space, arch, np.random.default_rng(seed), rate=rate)


def test_rate_one_moves_every_choice_that_stays_active_and_rate_zero_one_choice() -> None:
    flat = space_of(*(Choice(f"c{i}", (1, 2, 3)) for i in range(6)))
    arch = flat.extreme(largest=False)
    rng = np.random.default_rng(0)
    for _ in range(50):
        assert all(gene > 0 for gene in mutate(flat, arch, rng, rate=1.0).genes)
        assert sum(gene > 0 for gene in mutate(flat, arch, rng, rate=0.0).genes) == 1


def test_mutation_reaches_every_option_of_what_it_activates() -> None:
    space = space_of(Choice("on", (0, 1)), Choice("x", ("a", "b", "c"), ("on", frozenset({1}))))
    rng = np.random.default_rng(0)
    found = Counter(mutate(space, space.arch([0, 0]), rng, rate=0.5).genes for _ in range(600))
    assert set(found) == {(1, 0), (1, 1), (1, 2)}
    assert min(found.values()) > 150


@given(spaces, seeds, seeds, seeds)
def test_a_child_inherits_every_active_gene(space: SearchSpace, one: int, two: int, seed: int) -> None:
    a, b = sample(space, one), sample(space, two)
    child = crossover(space, a, b, np.random.default_rng(seed))
    assert space.arch(child.genes) == child
    for name, value in space.values(child).items():
        assert value in [space.values(parent)[name] for parent in (a, b) if name in space.values(parent)]
    assert child == crossover(space, a, b, np.random.default_rng(seed))
    assert crossover(space, a, a, np.random.default_rng(seed)) == a


def test_crossover_takes_from_both_parents() -> None:
    flat = space_of(*(Choice(f"c{i}", (1, 2)) for i in range(10)))
    a, b = flat.extreme(largest=False), flat.extreme(largest=True)
    rng = np.random.default_rng(0)
    taken = np.mean([crossover(flat, a, b, rng).genes for _ in range(500)], axis=0)
    assert np.abs(taken - 0.5).max() < 0.1


@given(spaces, seeds)
def test_neighbours_are_distinct_canonical_and_one_active_choice_away(space: SearchSpace, seed: int) -> None:
    arch = sample(space, seed)
    found = neighbours(space, arch)
    active = space.active(arch.genes)
    assert len(found) == sum(len(c.values) - 1 for c, on in zip(space.choices, active, strict=True) if on)
    assert len({arch, *found}) == len(found) + 1
    for other in found:
        assert space.arch(other.genes) == other
        there = space.active(other.genes)
        differing = [
            i
            for i, both in enumerate(zip(active, there, strict=True))
            if all(both) and arch.genes[i] != other.genes[i]
        ]
        assert len(differing) == 1


def test_walking_neighbours_reaches_the_whole_space() -> None:
    space = toy_space(2)
    reached, frontier = set(), {space.extreme(largest=False)}
    while frontier:
        reached |= frontier
        frontier = {other for arch in frontier for other in neighbours(space, arch)} - reached
    assert len(reached) == space.size()


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_bad_rate_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match=r"rate must lie in 0\.\.1; got"):
        mutate(TINY, TINY.extreme(largest=True), np.random.default_rng(0), rate=rate)


def test_archs_of_another_space_are_refused() -> None:
    own, foreign = TINY.extreme(largest=True), Arch("other@1", TINY.extreme(largest=True).genes)
    rng = np.random.default_rng(0)
    for use in (
        lambda: mutate(TINY, foreign, rng, rate=0.5),
        lambda: crossover(TINY, own, foreign, rng),
        lambda: crossover(TINY, foreign, own, rng),
        lambda: neighbours(TINY, foreign),
    ):
        with pytest.raises(InvalidArchError, match="arch of space other@1 used in space hybrid-tiny@1"):
            use()
