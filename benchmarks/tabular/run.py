"""One run: a searcher, a device, a seed; the share of the true hypervolume after every evaluation."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.tabular.external import EXTERNAL
from benchmarks.tabular.task import RecordedLatency, Task, load_task
from nas.pareto import hypervolume
from nas.search.knowledge import Knowledge
from nas.search.registry import get_searcher
from nas.search.searcher import Searcher
from searchspaces.space import Arch


@dataclass(frozen=True, slots=True)
class Setting:
    """What all runs of one comparison share."""

    table: Path
    dataset: str
    latency: str  # "free" or "costly"
    evaluations: int
    batch: int


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """``curve`` (n,): share of the true front's hypervolume after each evaluation."""

    curve: NDArray[np.float64]
    cpu_seconds: float  # of the searcher alone


def run_one(name: str, setting: Setting, device_seed: tuple[str, int]) -> Run:
    """Let the searcher called ``name`` spend its evaluations through ask and tell."""
    device, seed = device_seed
    task = load_task(setting.table, setting.dataset, device)
    predictors = {"latency_ms": RecordedLatency(task)} if setting.latency == "free" else {}
    factory = EXTERNAL[name] if name in EXTERNAL else get_searcher(name)
    start = time.process_time()
    searcher = factory(task.space, task.objectives, known=Knowledge(predictors), seed=seed)
    archs, spent = _search(searcher, task, setting)
    return Run(curve(task, archs), time.process_time() - start - spent)


def _search(searcher: Searcher, task: Task, setting: Setting) -> tuple[list[Arch], float]:
    """The archs in the order asked, and the CPU seconds that looking them up took."""
    asked: list[Arch] = []
    spent = 0.0
    while len(asked) < setting.evaluations:
        archs = searcher.ask(min(setting.batch, setting.evaluations - len(asked)))
        if not archs:
            break
        start = time.process_time()
        evaluations = task.evaluate(archs)
        spent += time.process_time() - start
        searcher.tell(evaluations)
        asked += archs
    return asked, spent


def curve(task: Task, archs: list[Arch]) -> NDArray[np.float64]:
    """Share (n,) of the true hypervolume that the first 1, 2, … n distinct archs dominate."""
    reference = np.ones(2)
    whole = hypervolume(task.points(np.flatnonzero(task.valid).tolist()), reference)
    shares: list[float] = []
    rows: list[int] = []
    for arch in archs:
        row = task.row.get(arch)
        better = row is not None and bool(task.valid[row])
        if row is not None and better:
            rows.append(row)
        grown = better and len(rows) > 0
        shares.append(hypervolume(task.points(rows), reference) / whole if grown else _last(shares))
    return np.array(shares)


def _last(shares: list[float]) -> float:
    return shares[-1] if shares else 0.0
