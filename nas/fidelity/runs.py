"""The subnets of a space that were trained alone, in one JSON file that grows run by run."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from nas.errors import FidelityError
from searchspaces.cost import cost
from searchspaces.space import Arch, SearchSpace

POOL = 50  # random archs per subnet wanted, from which the strata are filled


@dataclass(frozen=True, slots=True)
class StandaloneRun:
    """One subnet trained alone: arch key and genes, test accuracy in [0, 1], costs for one image."""

    arch: str
    genes: tuple[int, ...]
    top1: float
    cpu_seconds: float
    params: int
    macs: int
    depth: int


@dataclass(frozen=True, slots=True)
class StandaloneRuns:
    """Runs of one space under one recipe.

    ``recipe`` holds what every run shares (data, number of training images, training
    configuration), as JSON values.
    """

    space: str  # SearchSpace.id
    recipe: Mapping[str, Any]
    runs: tuple[StandaloneRun, ...] = ()

    def with_run(self, run: StandaloneRun) -> StandaloneRuns:
        """These runs and one more."""
        return replace(self, runs=(*self.runs, run))

    def save(self, path: Path) -> None:
        """Write the file atomically: a run that is cut off leaves the one before whole."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        temporary.write_text(json.dumps(asdict(self), indent=1) + "\n")
        temporary.replace(path)


def load_runs(path: Path) -> StandaloneRuns:
    """The runs in a file. Raises FidelityError, which names the file, if it is missing or damaged."""
    try:
        values = json.loads(path.read_text())
        runs = tuple(
            StandaloneRun(**{**run, "genes": tuple(int(gene) for gene in run["genes"])})
            for run in values["runs"]
        )
        return StandaloneRuns(str(values["space"]), dict(values["recipe"]), runs)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FidelityError(f"{path}: no file of subnets trained alone: {error!r}") from error


def continue_runs(path: Path, space: SearchSpace, recipe: Mapping[str, Any]) -> StandaloneRuns:
    """The runs in a file, or none yet if there is no file.

    Raises FidelityError, which names both sides, for runs of another space or recipe.
    """
    if not path.exists():
        return StandaloneRuns(space.id, recipe)
    found = load_runs(path)
    if found.space != space.id:
        raise FidelityError(f"{path}: holds runs of space {found.space}; these are of {space.id}")
    mine = json.loads(json.dumps(recipe))
    for key in sorted({*found.recipe, *mine}):
        if found.recipe.get(key) != mine.get(key):
            raise FidelityError(
                f"{path}: {key} of its runs was {found.recipe.get(key)!r}; it is {mine.get(key)!r} now"
            )
    return found


def spread_archs(space: SearchSpace, n: int, *, in_channels: int, n_classes: int, seed: int) -> list[Arch]:
    """``n`` distinct random archs, one from each of n strata of equal size by MACs, shuffled.

    Any first part of the list is a random sample too. Raises FidelityError if n is below 1 or
    more than half of the archs that the space has.
    """
    if not 1 <= n <= space.size() // 2:
        raise FidelityError(f"subnets must lie in 1..{space.size() // 2} in space {space.id}; got {n}")
    rng = np.random.default_rng([seed, 8])
    pool: dict[Arch, int] = {}
    for _ in range(POOL * n):
        arch = space.sample(rng)
        pool[arch] = cost(space.decode(arch), in_channels=in_channels, n_classes=n_classes).macs
    ordered = sorted(pool, key=lambda arch: (pool[arch], arch.genes))
    chosen = [stratum[int(rng.integers(len(stratum)))] for stratum in _strata(ordered, n)]
    return [chosen[i] for i in rng.permutation(n)]


def _strata(archs: Sequence[Arch], n: int) -> list[Sequence[Arch]]:
    ends = np.linspace(0, len(archs), n + 1).round().astype(int)
    return [archs[low:high] for low, high in pairwise(ends.tolist())]
