"""Many archs at once: genes as integer matrices (n, c), one row per arch, one column per choice.

The same rules as ``SearchSpace.arch``, ``archs``, ``sample`` and ``searchspaces.variation``, but a
thousand archs cost about what one costs there. Rows are canonical: inactive choices hold 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from searchspaces.errors import InvalidArchError
from searchspaces.space import Arch, SearchSpace

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]


def gene_matrix(space: SearchSpace, archs: Sequence[Arch]) -> IntArray:
    """The genes (n, c) of these archs. Raises InvalidArchError for an arch of another space."""
    for arch in archs:
        if arch.space != space.id:
            raise InvalidArchError(f"arch of space {arch.space} used in space {space.id}")
    rows = [arch.genes for arch in archs]
    return np.array(rows, dtype=np.int64).reshape(len(archs), len(space.choices))


def archs_of(space: SearchSpace, genes: IntArray) -> list[Arch]:
    """The canonical archs of the rows (n, c). Raises InvalidArchError for an index out of range."""
    if genes.ndim != 2 or genes.shape[1] != len(space.choices):
        raise InvalidArchError(f"{space.id} has {len(space.choices)} choices; got genes of {genes.shape}")
    if genes.size and not ((genes >= 0) & (genes < option_counts(space))).all():
        raise InvalidArchError(f"{space.id}: genes must lie in 0..options - 1 of their choices")
    return [Arch(space.id, tuple(row)) for row in canonical(space, genes).tolist()]


def option_counts(space: SearchSpace) -> IntArray:
    """The number of options (c,) of each choice."""
    return np.array([len(choice.values) for choice in space.choices], dtype=np.int64)


def canonical(space: SearchSpace, genes: IntArray) -> IntArray:
    """The rows with 0 at every inactive choice."""
    return np.where(space.active_mask(genes), genes, 0)


def enumerate_genes(space: SearchSpace) -> IntArray:
    """Every arch of the space in the order of ``SearchSpace.archs``; needs memory for all of them."""
    rows = np.zeros((1, len(space.choices)), dtype=np.int64)
    for column, count in enumerate(option_counts(space).tolist()):
        repeats = np.where(space.active_mask(rows)[:, column], count, 1)
        starts = np.repeat(np.cumsum(repeats) - repeats, repeats)
        rows = np.repeat(rows, repeats, axis=0)
        rows[:, column] = np.arange(len(rows)) - starts
    return rows


def sample_genes(space: SearchSpace, n: int, rng: np.random.Generator) -> IntArray:
    """``n`` random archs, each active choice uniform over its options; repeats may occur."""
    counts = option_counts(space)
    return canonical(space, rng.integers(counts, size=(n, len(counts))))


def mutate_genes(
    space: SearchSpace, genes: IntArray, rng: np.random.Generator, *, changes: float
) -> IntArray:
    """Each row with about ``changes`` of its active choices moved to another option, at least one.

    What a change activates takes a random option, as in ``searchspaces.variation.mutate``.
    """
    counts = option_counts(space)
    active = space.active_mask(genes)
    free = active & (counts > 1)
    rate = changes / np.maximum(free.sum(axis=1, keepdims=True), 1)
    draws = np.where(free, rng.random(genes.shape), np.inf)
    moving = (draws < rate) | (draws == draws.min(axis=1, keepdims=True))
    moving &= free
    steps = 1 + rng.integers(np.maximum(counts - 1, 1), size=genes.shape)
    start = np.where(active, genes, rng.integers(counts, size=genes.shape))
    return canonical(space, np.where(moving, (start + steps) % counts, start))


def cross_genes(space: SearchSpace, a: IntArray, b: IntArray, rng: np.random.Generator) -> IntArray:
    """Uniform crossover of paired rows; a choice active in one parent only comes from that one."""
    on_a, on_b = space.active_mask(a), space.active_mask(b)
    from_a = on_a & (rng.integers(2, size=a.shape).astype(np.bool_) | ~on_b)
    return canonical(space, np.where(from_a, a, b))


def one_hot(space: SearchSpace, genes: IntArray) -> FloatArray:
    """``SearchSpace.encode`` of the rows: one-hot of every active choice, inactive ones 0."""
    active = space.active_mask(genes)
    blocks = [
        (genes[:, [column]] == np.arange(count)) & active[:, [column]]
        for column, count in enumerate(option_counts(space).tolist())
    ]
    return np.hstack(blocks).astype(np.float64)
