"""Truth: subnets whose accuracy is known, from a recorded table or from subnets trained alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nas.errors import FidelityError
from nas.fidelity.runs import load_runs
from searchspaces.cells import NONE, has_path
from searchspaces.space import Arch, SearchSpace
from searchspaces.subnet import CellSpec
from searchspaces.tables import Table, check_genes, read_table

TABLE_SUFFIX = ".npz"


@dataclass(frozen=True, slots=True)
class Truth:
    """Archs with their true accuracies in [0, 1], and where these come from, in words."""

    archs: tuple[Arch, ...]
    top1: tuple[float, ...]
    source: str


def read_truth(path: Path, space: SearchSpace, *, subnets: int, seed: int, dataset: str = "cifar10") -> Truth:
    """The truth in a file: an ``.npz`` table, of which ``subnets`` are drawn, or all of a JSON of runs.

    Raises FidelityError or TableError, which name the file and both sides, for a file of another
    space, one without accuracies on ``dataset``, or one with too few subnets.
    """
    if path.suffix == TABLE_SUFFIX:
        return draw_from_table(read_table(path), space, subnets=subnets, seed=seed, dataset=dataset)
    return truth_of_runs(path, space)


def draw_from_table(table: Table, space: SearchSpace, *, subnets: int, seed: int, dataset: str) -> Truth:
    """``subnets`` random rows of the table whose networks see their input."""
    check_genes(table, space)
    if dataset not in table.top1:
        raise FidelityError(f"{table.path}: no accuracies on {dataset!r}; there are {sorted(table.top1)}")
    top1 = table.top1[dataset]
    archs: list[Arch] = []
    known: list[float] = []
    for row in np.random.default_rng([seed, 9]).permutation(len(table.genes)).tolist():
        arch = space.arch(table.genes[row].tolist())
        if sees_input(space, arch):
            archs.append(arch)
            known.append(float(top1[row]))
        if len(archs) == subnets:
            return Truth(tuple(archs), tuple(known), f"{table.path.name}: top1 on {dataset}, recorded")
    raise FidelityError(f"{table.path}: subnets must be at most {len(archs)}, all it has; got {subnets}")


def truth_of_runs(path: Path, space: SearchSpace) -> Truth:
    """The subnets of a JSON file of runs (see runs.py)."""
    found = load_runs(path)
    if found.space != space.id:
        raise FidelityError(f"{path}: holds subnets of space {found.space}, the supernet is of {space.id}")
    what = (
        f"trained alone for {found.recipe.get('epochs')} epochs on {found.recipe.get('train_images')} images"
    )
    return Truth(
        tuple(space.arch(run.genes) for run in found.runs),
        tuple(run.top1 for run in found.runs),
        f"{path.name}: test top1, {what}",
    )


def sees_input(space: SearchSpace, arch: Arch) -> bool:
    """Whether the logits depend on the image: every cell leads from its input to its output."""
    return all(has_path(edges) for edges in _cells(space, arch))


def _cells(space: SearchSpace, arch: Arch) -> Iterator[tuple[str, ...]]:
    for block in set(space.decode(arch).blocks):
        if isinstance(block, CellSpec):
            yield tuple("+".join(operators) or NONE for operators in block.edges)
