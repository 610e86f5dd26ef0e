"""Sampling, mutation, crossover, neighbourhood: pure functions of (space, arch, rng), canonical results."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from searchspaces.errors import InvalidArchError
from searchspaces.space import Arch, Choice, SearchSpace


def sample_lean(space: SearchSpace, rng: np.random.Generator) -> Arch:
    """A random arch of the cheap side: each numeric choice takes its first option with one probability.

    That probability is drawn from U(0, 1) for every arch, so archs range from ``space.sample``'s
    to the smallest; choices of kind stay uniform. Random archs alone hardly ever are small in all
    their choices, but the fast end of a front is.
    """
    share = rng.random()
    return space.arch([_lean_gene(choice, share, rng) for choice in space.choices])


def mutate(space: SearchSpace, arch: Arch, rng: np.random.Generator, *, rate: float) -> Arch:
    """Every active choice moves to another of its options, uniformly, with probability ``rate``.

    At least one moves, so the result differs from ``arch`` unless the space holds only one
    arch. A choice that the change activates takes a random option, not the cheapest one.

    Raises ValueError for a rate outside [0, 1], InvalidArchError for an arch of another space.
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"rate must lie in 0..1; got {rate}")
    active = _active(space, arch)
    free = [i for i, on in enumerate(active) if on and len(space.choices[i].values) > 1]
    if not free:
        return arch
    moving = [i for i, draw in zip(free, rng.random(len(free)), strict=True) if draw < rate]
    moving = moving or [free[int(rng.integers(len(free)))]]
    genes = [
        gene if on else int(rng.integers(len(choice.values)))
        for choice, gene, on in zip(space.choices, arch.genes, active, strict=True)
    ]
    for i in moving:
        n = len(space.choices[i].values)
        genes[i] = (genes[i] + 1 + int(rng.integers(n - 1))) % n
    return space.arch(genes)


def crossover(space: SearchSpace, a: Arch, b: Arch, rng: np.random.Generator) -> Arch:
    """Uniform crossover: each choice comes from ``a`` or ``b``; if active in one only, from that one.

    Whatever choice the child activates is active in a parent, so every active gene of the
    child is inherited. Raises InvalidArchError for an arch of another space.
    """
    both = zip(
        a.genes,
        _active(space, a),
        b.genes,
        _active(space, b),
        rng.integers(2, size=len(space.choices)),
        strict=True,
    )
    return space.arch(
        [gene_a if on_a and (heads or not on_b) else gene_b for gene_a, on_a, gene_b, on_b, heads in both]
    )


def neighbours(space: SearchSpace, arch: Arch) -> list[Arch]:
    """The archs that differ from ``arch`` in one active choice, in the order of choices and options.

    Choices that the change activates take their first option, so this relation is not
    symmetric. All are distinct and none is ``arch``. Raises InvalidArchError for an arch of
    another space.
    """
    found = []
    for i, on in enumerate(_active(space, arch)):
        for option in range(len(space.choices[i].values) if on else 0):
            if option != arch.genes[i]:
                found.append(space.arch([*arch.genes[:i], option, *arch.genes[i + 1 :]]))
    return found


def _lean_gene(choice: Choice, share: float, rng: np.random.Generator) -> int:
    """An option index: 0 with probability ``share`` if the choice is of a number, else uniform."""
    cheapest, gene = rng.random() < share, int(rng.integers(len(choice.values)))
    numeric = not any(isinstance(value, str) for value in choice.values)
    return 0 if numeric and cheapest else gene


def _active(space: SearchSpace, arch: Arch) -> Sequence[bool]:
    if arch.space != space.id:
        raise InvalidArchError(f"arch of space {arch.space} used in space {space.id}")
    return space.active(arch.genes)
