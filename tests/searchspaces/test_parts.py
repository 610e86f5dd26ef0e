from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from searchspaces.genes import gene_matrix
from searchspaces.parts import sized_layers
from searchspaces.registry import get_space
from searchspaces.space import SearchSpace

SPACES = ("hybrid-tiny", "hybrid-cifar", "hybrid-tiny-r8-12-16", "hybrid-tiny-m2-by-resolution")


def assert_parts_are_the_layers(space: SearchSpace, seed: int) -> None:
    rng = np.random.default_rng(seed)
    archs = [space.sample(rng), space.extreme(largest=True), space.extreme(largest=False)]
    assert space.parts is not None
    catalogue = space.parts.catalogue
    for arch, rows in zip(archs, space.parts.rows(gene_matrix(space, archs)).tolist(), strict=True):
        layers = Counter(layer for row in rows for layer in catalogue[row])
        assert layers == Counter(sized_layers(space.decode(arch)))


@pytest.mark.parametrize("name", SPACES)
@given(seed=st.integers(0, 2**32))
def test_parts_of_an_arch_have_its_layers(name: str, seed: int) -> None:
    assert_parts_are_the_layers(get_space(name), seed)


@pytest.mark.parametrize("name", SPACES)
def test_parts_are_distinct_and_the_first_is_empty(name: str) -> None:
    parts = get_space(name).parts
    assert parts is not None
    assert parts.catalogue[0] == ()
    assert all(len(part) > 0 for part in parts.catalogue[1:])


def test_every_part_of_a_small_space_occurs() -> None:
    space = get_space("hybrid-tiny")
    assert space.parts is not None
    rng = np.random.default_rng(0)
    rows = space.parts.rows(gene_matrix(space, [space.sample(rng) for _ in range(4000)]))
    assert len(np.unique(rows)) > 0.3 * len(space.parts.catalogue)
    assert rows.max() < len(space.parts.catalogue)
