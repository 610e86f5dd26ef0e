"""Gene matrices obey the same rules as single archs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from searchspaces.errors import InvalidArchError
from searchspaces.genes import (
    archs_of,
    canonical,
    cross_genes,
    enumerate_genes,
    gene_matrix,
    mutate_genes,
    one_hot,
    option_counts,
    sample_genes,
)
from searchspaces.registry import get_space
from searchspaces.space import Arch, SearchSpace
from tests.contracts.toy import toy_space

SPACES = [toy_space(4), get_space("hybrid-tiny"), get_space("nasbench201")]


@pytest.mark.parametrize(
    "space", [toy_space(2), toy_space(4), get_space("nasbench201")], ids=lambda s: s.name
)
def test_enumeration_is_that_of_the_space(space: SearchSpace) -> None:
    assert archs_of(space, enumerate_genes(space)) == list(space.archs())


@pytest.mark.parametrize("space", SPACES, ids=lambda s: s.name)
def test_rows_are_canonical_archs(space: SearchSpace) -> None:
    rng = np.random.default_rng(0)
    rows = rng.integers(option_counts(space), size=(50, len(space.choices)))
    archs = archs_of(space, rows)
    assert archs == [space.arch(row) for row in rows.tolist()]
    assert (gene_matrix(space, archs) == canonical(space, rows)).all()
    assert (space.active_mask(rows) == [space.active(row) for row in rows.tolist()]).all()
    assert (one_hot(space, gene_matrix(space, archs)) == space.encode(archs)).all()


@given(seed=st.integers(0, 2**32 - 1), which=st.sampled_from(range(3)), changes=st.sampled_from([0.5, 2.0]))
def test_mutants_differ_and_are_canonical(seed: int, which: int, changes: float) -> None:
    space, rng = SPACES[which], np.random.default_rng(seed)
    rows = sample_genes(space, 8, rng)
    mutants = mutate_genes(space, rows, rng, changes=changes)
    assert (mutants == canonical(space, mutants)).all()
    assert (mutants != rows).any(axis=1).all()
    assert len(archs_of(space, mutants)) == 8


@given(seed=st.integers(0, 2**32 - 1), which=st.sampled_from(range(3)))
def test_a_child_inherits_every_active_gene(seed: int, which: int) -> None:
    space, rng = SPACES[which], np.random.default_rng(seed)
    a, b = sample_genes(space, 8, rng), sample_genes(space, 8, rng)
    child = cross_genes(space, a, b, rng)
    on = space.active_mask(child)
    assert ((child == a) & space.active_mask(a) | (child == b) & space.active_mask(b))[on].all()


def test_a_space_of_one_point_mutates_into_itself() -> None:
    space = toy_space(1)
    one = SearchSpace("one", 1, space.choices[:1], space.fabric, space.build)
    assert mutate_genes(one, enumerate_genes(one), np.random.default_rng(0), changes=1.0).tolist() == [[0]]


def test_bad_genes_are_refused() -> None:
    space = toy_space(2)
    with pytest.raises(InvalidArchError, match="choices"):
        archs_of(space, np.zeros((1, 3), dtype=np.int64))
    with pytest.raises(InvalidArchError, match="options"):
        archs_of(space, np.full((1, len(space.choices)), 9))
    with pytest.raises(InvalidArchError, match="other"):
        gene_matrix(space, [Arch("other@1", (0,))])
