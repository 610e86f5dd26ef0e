"""What was not seen yet: archs, without ever hanging, as the fallback of every searcher; rows of genes."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from itertools import islice

import numpy as np

from nas.pareto import IntArray
from searchspaces.space import Arch, SearchSpace
from searchspaces.variation import mutate

ENUMERABLE = 1024  # spaces up to this size are listed, which makes the draw exact
DRAWS_PER_ARCH = 16
VARIANT_ATTEMPTS = 8


def unseen_archs(
    space: SearchSpace, n: int, taken: AbstractSet[Arch], rng: np.random.Generator
) -> list[Arch]:
    """``n`` distinct random archs outside ``taken``; fewer only when the space has no more.

    Small spaces are drawn from uniformly. In others ``SearchSpace.sample`` is retried a bounded
    number of times; should that not suffice, the rest are the first unseen archs in enumeration
    order, which visits at most ``len(taken) + n`` archs.
    """
    if n <= 0:
        return []
    if space.size() <= ENUMERABLE:
        left = [arch for arch in space.archs() if arch not in taken]
        return [left[i] for i in rng.permutation(len(left))[:n]]
    found: dict[Arch, None] = {}  # a set that keeps its order
    for _ in range(n * DRAWS_PER_ARCH):
        if len(found) == n:
            break
        arch = space.sample(rng)
        if arch not in taken:
            found[arch] = None
    rest = (arch for arch in space.archs() if arch not in taken and arch not in found)
    return [*found, *islice(rest, n - len(found))]


def unseen_variant(
    space: SearchSpace, arch: Arch, taken: AbstractSet[Arch], rng: np.random.Generator
) -> Arch | None:
    """A mutation of ``arch`` outside ``taken``, further away at each of a few attempts; None if none is."""
    for attempt in range(1, VARIANT_ATTEMPTS + 1):
        variant = mutate(space, arch, rng, rate=min(1.0, attempt / len(space.choices)))
        if variant not in taken:
            return variant
    return None


def unseen_genes(genes: IntArray, seen: IntArray) -> IntArray:
    """The distinct rows of ``genes`` (n, c) that are not among ``seen`` (s, c), in their order."""
    known = {row.tobytes() for row in seen}
    fresh = {row.tobytes(): i for i, row in reversed(list(enumerate(genes)))}
    return genes[sorted(i for key, i in fresh.items() if key not in known)]
