"""Mixtures: the same architectures, other weights; every copy gets its fair part."""

import numpy as np
import pytest

from searchspaces.cost import cost
from searchspaces.errors import UnknownSpaceError
from searchspaces.registry import get_space

BASE = get_space("hybrid-tiny")
HASHED = get_space("hybrid-tiny-m3")
BY_WIDTH = get_space("hybrid-tiny-m2-by-s1.width")


def copy_used(space, arch) -> set[str]:
    return {layer.slot.partition("~")[2] for layer in space.decode(arch).layers[1:-1]}


def test_a_subnet_lives_in_one_copy_and_shares_stem_and_head():
    rng = np.random.default_rng(0)
    for _ in range(20):
        arch = HASHED.sample(rng)
        layers = HASHED.decode(arch).layers
        assert (layers[0].slot, layers[-1].slot) == ("stem", "head")
        assert len(copy_used(HASHED, arch)) == 1


def test_copies_are_used_alike():
    rng = np.random.default_rng(0)
    counts = np.zeros(3)
    for _ in range(600):
        (copy,) = copy_used(HASHED, HASHED.sample(rng))
        counts[int(copy)] += 1
    assert np.all(np.abs(counts / 200 - 1) < 0.2), counts


def test_options_of_the_choice_decide():
    rng = np.random.default_rng(0)
    for _ in range(30):
        arch = BY_WIDTH.sample(rng)
        width = BY_WIDTH.values(arch)["s1.width"]
        assert copy_used(BY_WIDTH, arch) == {"0" if width in (8, 16) else "1"}


def test_sizes_and_costs_are_those_of_the_base():
    genes = BASE.sample(np.random.default_rng(0)).genes
    assert HASHED.size() == BASE.size()
    subnets = [space.decode(space.arch(genes)) for space in (BASE, HASHED)]
    first, second = (cost(subnet, in_channels=1, n_classes=10) for subnet in subnets)
    assert first == second
    assert set(HASHED.fabric.slots()) >= {layer.slot for layer in subnets[1].layers}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hybrid-tiny-m1", "copies must lie in 2..8; got 1"),
        ("hybrid-tiny-m2-by-colour", "no choice named 'colour'"),
        ("hybrid-tiny-m4-by-s1.width", "has 3 options, too few for 4"),
        ("unknown-m2", "no search space 'unknown'"),
    ],
)
def test_a_name_without_meaning_is_refused(name, message):
    with pytest.raises(UnknownSpaceError, match=message):
        get_space(name)
