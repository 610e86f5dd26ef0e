"""Strategies: small spaces of any conditional structure, and archs of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from hypothesis import strategies as st

from searchspaces.fabric import Fabric
from searchspaces.space import Arch, Choice, SearchSpace, Value
from searchspaces.subnet import HeadSpec, StemSpec, SubnetSpec


def _build(values: Mapping[str, Value]) -> SubnetSpec:
    return SubnetSpec(8, ())


def space_of(*choices: Choice) -> SearchSpace:
    return SearchSpace("small", 1, choices, Fabric(StemSpec(8, 1), (), HeadSpec(8)), _build)


@st.composite
def small_spaces(draw: st.DrawFn) -> SearchSpace:
    """Up to six choices of up to three options, nested to any depth."""
    choices: list[Choice] = []
    for i in range(draw(st.integers(1, 6))):
        active_if = None
        if choices and draw(st.booleans()):
            parent = draw(st.sampled_from(choices))
            allowed = draw(st.sets(st.sampled_from(parent.values)))
            active_if = (parent.name, frozenset(allowed))
        values = draw(st.sampled_from([(0,), (1, 2), (3, 5, 7), ("a", "b"), (0.5, 1.5)]))
        choices.append(Choice(f"c{i}", values, active_if))
    return space_of(*choices)


seeds = st.integers(0, 2**32 - 1)


def sample(space: SearchSpace, seed: int) -> Arch:
    return space.sample(np.random.default_rng(seed))
