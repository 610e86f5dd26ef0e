"""Recorded tables of latencies, and what a few-shot method gets to see of one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from predictors.errors import InvalidValueError
from predictors.predictor import Prediction
from predictors.transfer.families.gene import Gene, read_genes
from predictors.transfer.tables import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Task:
    """Archs (n, d) with their values on every source, each (n,). Nothing of the target."""

    choices: tuple[Gene, ...]
    genes: IntArray
    sources: Mapping[str, FloatArray]
    seed: int


class Method(Protocol):
    """A few-shot method, made from a Task; fitted to one target after another."""

    def choose(self, n: int) -> list[int]:
        """N distinct rows of the task's archs to measure on a target."""
        ...

    def fit(self, rows: Sequence[int], values: FloatArray) -> None:
        """Fit to a target's values (n,) of those rows, forgetting any earlier target."""
        ...

    def predict(self, genes: IntArray) -> Prediction:
        """Predict genes (m, d)."""
        ...


@dataclass(frozen=True, slots=True)
class Table:
    """Genes (n, d) as option indices and latencies in ms (n, m), one column per device."""

    choices: tuple[Gene, ...]
    genes: IntArray
    devices: tuple[str, ...]
    latency_ms: FloatArray

    def values(self, device: str) -> FloatArray:
        """Latencies (n,) of a device; raises InvalidValueError if the table does not have it."""
        if device not in self.devices:
            raise InvalidValueError(f"the table has no device {device!r}; it has {', '.join(self.devices)}")
        return self.latency_ms[:, self.devices.index(device)]

    def task(self, rows: IntArray, sources: Sequence[str], seed: int) -> Task:
        """The archs ``rows`` with the values of the sources."""
        return Task(self.choices, self.genes[rows], {name: self.values(name)[rows] for name in sources}, seed)


def read_table(path: Path) -> Table:
    """Read an .npz of ``genes``, ``choices`` (JSON), ``devices``, ``latency_ms``.

    Raises InvalidValueError for genes out of range or shapes that do not fit.
    """
    with np.load(path, allow_pickle=False) as arrays:
        choices = read_genes(json.loads(str(arrays["choices"])))
        genes = arrays["genes"].astype(np.int64)
        devices = tuple(str(device) for device in arrays["devices"])
        latency_ms = arrays["latency_ms"].astype(np.float64)
    if genes.ndim != 2 or genes.shape[1] != len(choices) or latency_ms.shape != (len(genes), len(devices)):
        raise InvalidValueError(
            f"{path}: genes {genes.shape}, {len(choices)} choices, latency_ms {latency_ms.shape} and "
            f"{len(devices)} devices do not fit together"
        )
    if (genes < 0).any() or (genes >= [len(choice.values) for choice in choices]).any():
        raise InvalidValueError(f"{path}: a gene is no option index of its choice")
    return Table(choices, genes, devices, latency_ms)
