"""One task: a table's space, the accuracies of a data set and the latencies of a device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nas.types import Direction, Evaluation, Objective
from predictors.predictor import Prediction
from searchspaces.errors import TableError, UnknownSpaceError
from searchspaces.fabric import Fabric
from searchspaces.registry import RECORDED, get_space
from searchspaces.space import Arch, Choice, SearchSpace, Value
from searchspaces.subnet import HeadSpec, StemSpec, SubnetSpec
from searchspaces.tables import Table, check_genes, read_table

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """``row`` maps an arch to its place in the arrays (n,); ``valid`` archs count towards the front."""

    space: SearchSpace
    row: Mapping[Arch, int]
    top1: FloatArray
    latency_ms: FloatArray
    valid: NDArray[np.bool_]

    @property
    def objectives(self) -> tuple[Objective, Objective]:
        """Accuracy against 0, latency against the slowest valid arch."""
        slowest = float(self.latency_ms[self.valid].max())
        return (
            Objective("top1", Direction.MAXIMIZE, 0.0),
            Objective("latency_ms", Direction.MINIMIZE, slowest),
        )

    def evaluate(self, archs: Sequence[Arch]) -> list[Evaluation]:
        """What the table says of these archs; invalid and unrecorded ones fail."""
        return [self._evaluation(arch) for arch in archs]

    def _evaluation(self, arch: Arch) -> Evaluation:
        row = self.row.get(arch)
        if row is None:
            return Evaluation(arch, error="not recorded")
        if not self.valid[row]:
            return Evaluation(arch, error="no path from input to output, or no latency")
        return Evaluation(arch, {"top1": float(self.top1[row]), "latency_ms": float(self.latency_ms[row])})

    def points(self, rows: Sequence[int]) -> FloatArray:
        """Costs (k, 2) in [0, 1] of valid rows: accuracy linear, latency logarithmic, 1 is the worst."""
        top1, latency = self.top1[self.valid], np.log(self.latency_ms[self.valid])
        chosen = np.array(rows, dtype=np.int64)
        accuracy_cost = (top1.max() - self.top1[chosen]) / (top1.max() - top1.min())
        latency_cost = (np.log(self.latency_ms[chosen]) - latency.min()) / (latency.max() - latency.min())
        return np.stack([accuracy_cost, latency_cost], axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class RecordedLatency:
    """The latency predictor of the free setting: the recorded latencies, known exactly.

    Archs without a recorded latency are given the slowest one.
    """

    task: Task

    def fit(self, archs: Sequence[Arch], targets: FloatArray) -> None:  # noqa: ARG002
        """It comes fitted: raises TypeError."""
        raise TypeError("recorded latencies are not fitted")

    def predict(self, archs: Sequence[Arch]) -> Prediction:
        """See Predictor."""
        slowest = float(self.task.latency_ms[self.task.valid].max())
        rows = [self.task.row.get(arch) for arch in archs]
        values = [slowest if row is None else float(self.task.latency_ms[row]) for row in rows]
        mean = np.array([value if value > 0 else slowest for value in values])
        return Prediction(mean, np.zeros(len(mean)), mean, mean)


@lru_cache(maxsize=32)
def load_task(path: Path, dataset: str, device: str) -> Task:
    """Raises TableError, naming what the table has, for an unknown data set or device."""
    table = _table(path)
    if dataset not in table.top1:
        raise TableError(f"{path} has no top1_{dataset}; there are {sorted(table.top1)}")
    if device not in table.devices:
        raise TableError(f"{path} has no device {device!r}; there are {list(table.devices)}")
    space = space_of(table)
    row = {space.arch(genes): i for i, genes in enumerate(table.genes.tolist())}
    latency = table.latency_ms[:, table.devices.index(device)]
    measured = np.isfinite(latency) & (latency > 0) & np.isfinite(table.top1[dataset])
    valid = measured & space.connected(table.genes)
    task = Task(space, row, table.top1[dataset], latency, valid)
    if np.ptp(task.top1[valid]) == 0 or np.ptp(latency[valid]) == 0:
        raise TableError(f"{path}: top1_{dataset} or the latency of {device!r} is the same for every arch")
    return task


def space_of(table: Table) -> SearchSpace:
    """The registered space whose choices the table has, otherwise one made of these choices."""
    for name in RECORDED:
        space = get_space(name)
        try:
            check_genes(table, space)
        except TableError:
            continue
        return space
    choices = tuple(Choice(name, values) for name, values in table.choices)
    return SearchSpace("table", 1, choices, Fabric(StemSpec(8, 1), (), HeadSpec(8)), _no_network)


@lru_cache(maxsize=4)
def _table(path: Path) -> Table:
    return read_table(path)


def _no_network(values: Mapping[str, Value]) -> SubnetSpec:  # noqa: ARG001
    raise UnknownSpaceError("the archs of a table without a registered space have no network")
