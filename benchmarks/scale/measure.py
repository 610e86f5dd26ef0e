"""What the steps of a search cost on this machine: evaluation, actor calls, searchers, database, weights.

Steps that wait for another process are timed by wall clock, and the fastest of their repeats is kept,
because on a shared machine the rest shows others' work; evaluations and searchers by CPU time.
"""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from sqlalchemy import text

from db.session import Database
from db.study_store import SqlStudyStore
from nas.data.load import load_data
from nas.evaluate.accuracy import calibration_images
from nas.evaluate.prefix.evaluator import PrefixEvaluator
from nas.evaluate.ray_pool import RayPool
from nas.search.registry import get_searcher
from nas.supernet.supernet import Supernet
from nas.types import Direction, Evaluation, Objective, Study
from searchspaces.registry import get_space
from searchspaces.space import Arch

SPACE = "hybrid-tiny"
OBJECTIVES = (Objective("top1", Direction.MAXIMIZE, 0.0), Objective("latency_ms", Direction.MINIMIZE, 2.0))
SEARCHERS = {"random": (1000, 10_000, 100), "nsga2": (1000, 10_000, 100), "guided": (200, 600, 20)}
PARTS = ("evaluation", "searchers", "databases", "ray")
CHUNK, REPEATS = 20, 40
WEIGHTS_MIB = 13


@dataclass(frozen=True)
class Instant:
    """Builds an evaluator that costs nothing."""

    def __call__(self, arrays: Any) -> Instant:  # noqa: ARG002
        """See EvaluatorFactory."""
        return self

    metrics = ("top1",)

    def evaluate(self, archs: Sequence[Arch]) -> list[Evaluation]:
        """See Evaluator."""
        return [Evaluation(arch, {"top1": 0.5}) for arch in archs]


def measure(parts: Sequence[str], postgres: str | None) -> dict[str, Any]:
    """Figures in seconds of these of PARTS; ``postgres``: URL of an empty database to measure too."""
    torch.set_num_threads(1)
    work: dict[str, Callable[[], Any]] = {
        "evaluation": _evaluation,
        "searchers": lambda: {name: _searcher(name, *sizes) for name, sizes in SEARCHERS.items()},
        "databases": lambda: _databases(postgres),
        "ray": _ray,
    }
    found = {part: work[part]() for part in parts}
    return {
        "machine": f"{platform.machine()}, Python {platform.python_version()}, Ray {ray.__version__}",
        **found,
    }


def random_archs(n: int) -> list[Arch]:
    """``n`` distinct archs of the space."""
    space, rng = get_space(SPACE), np.random.default_rng(0)
    found: dict[Arch, None] = {}
    while len(found) < n:
        found[space.sample(rng)] = None
    return list(found)


def toy(arch: Arch) -> Evaluation:
    """Values that make a front, from the genes."""
    total = sum((i % 5 + 1) * gene for i, gene in enumerate(arch.genes))
    return Evaluation(arch, {"top1": (total % 97) / 97, "latency_ms": 0.1 + (total * 31 % 101) / 100})


def _evaluation() -> dict[str, float]:
    data, space = load_data("digits"), get_space(SPACE)
    supernet = Supernet(space, n_classes=data.n_classes, in_channels=data.in_channels).eval()
    evaluator = PrefixEvaluator(supernet, data.val, calibration_images(data.train))
    times = []
    for arch in random_archs(25):
        began = time.process_time()
        evaluator.evaluate([arch])
        times.append(time.process_time() - began)
    return {"mean_s": float(np.mean(times[1:])), "cv": float(np.std(times[1:]) / np.mean(times[1:]))}


def _ray() -> dict[str, float]:
    weights = {"weights": np.zeros(WEIGHTS_MIB * 2**18, np.float32)}
    arch = random_archs(1)
    pool = RayPool(Instant(), weights, 1)
    try:
        round_trip = least(lambda: pool.submit(arch).result(), 200)
        began, n = time.process_time(), 400
        futures = [pool.submit(arch) for _ in range(n)]
        for future in futures:
            future.result()
        driver = (time.process_time() - began) / n
        put = least(lambda: ray.put(weights), 5)
        reference = ray.put(weights)
        return {
            "round_trip_s": round_trip,
            "driver_s_per_call": driver,
            "put_weights_s": put,
            "get_weights_s": least(lambda: ray.get(reference), 20),
            "weights_mib": WEIGHTS_MIB,
        }
    finally:
        pool.close()


def _searcher(name: str, few: int, many: int, batch: int) -> dict[str, float]:
    """CPU seconds of one ask of ``batch`` archs after ``few`` and after ``many`` evaluations told."""
    archs = random_archs(many)
    seconds = []
    for n_told in (few, many):
        searcher = get_searcher(name)(get_space(SPACE), OBJECTIVES, seed=0)
        searcher.tell([toy(arch) for arch in archs[:n_told]])
        began = time.process_time()
        searcher.ask(batch)
        seconds.append(time.process_time() - began)
    slope = max(0.0, (seconds[1] - seconds[0]) / (many - few))
    fixed = max(0.0, seconds[0] - slope * few)
    return {
        "batch": batch,
        "told": many,
        "s_per_ask": seconds[1],
        "s_per_arch": fixed / batch,
        "s_per_told": slope,
    }


def _databases(postgres: str | None) -> dict[str, dict[str, float]]:
    with tempfile.TemporaryDirectory(prefix="nas-scale-") as folder:
        found = {"sqlite": _database(f"sqlite:///{Path(folder) / 'nas.db'}")}
    return found if postgres is None else found | {"postgresql": _database(postgres)}


def _database(url: str) -> dict[str, float]:
    """Of a study of 5,000 finished trials: seconds to start, finish and recall.

    CPU seconds of this process and, with PostgreSQL, of the server's process that serves it: they take
    turns, so their sum is what a write takes on a machine at rest. Reaching the disk is added apart.
    """
    database = Database(url)
    database.migrate()
    store = SqlStudyStore(database)
    store.create_study(Study("s", f"{SPACE}@1", OBJECTIVES, "random", 10**6, 0, supernet="x", device="y"))
    archs = random_archs(5000 + 4 * CHUNK * REPEATS)
    numbers = [trial.number for trial in store.start_trials("s", archs)]
    for first in range(0, 5000, 500):
        part = range(first, first + 500)
        store.finish_trials("s", {numbers[i]: toy(archs[i]) for i in part})
    left = iter(range(5000, len(archs)))
    server = _server_process(database)

    def finish(n: int) -> None:
        rows = [next(left) for _ in range(n)]
        store.finish_trials("s", {numbers[i]: toy(archs[i]) for i in rows})

    one, chunk = (busy(lambda n=n: finish(n), server) for n in (1, CHUNK))
    few, many = (busy(lambda n=n: store.start_trials("s", archs[:n]), server) for n in (1, 100))
    mark = ("top1_protocol", 1.0)
    recall, recall_chunk = (
        busy(lambda n=n: store.recall("x", archs[:n], ("top1", "top1_protocol"), where=mark), server)
        for n in (1, CHUNK)
    )
    database.close()
    finish_s = max(0.0, (chunk - one) / (CHUNK - 1))
    disk = least(_reach_the_disk, REPEATS)
    return {
        "one_s": one,
        f"chunk_of_{CHUNK}_s": chunk,
        "disk_s": disk,
        "commit_s": max(0.0, one - finish_s) + disk,
        "finish_s": finish_s,
        "start_s": max(0.0, (many - few) / 99),
        "recall_s": recall,
        "recall_arch_s": max(0.0, (recall_chunk - recall) / (CHUNK - 1)),
    }


def _server_process(database: Database) -> int | None:
    """Process of PostgreSQL that serves this one; None for SQLite, which has none."""
    if database.backend == "sqlite":
        return None
    with database.read() as session:
        return int(session.execute(text("SELECT pg_backend_pid()")).scalar_one())


def _reach_the_disk() -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(bytes(8192))
        file.flush()
        os.fsync(file.fileno())


def busy(work: Callable[[], object], other: int | None) -> float:
    """Mean CPU seconds of this process and of process ``other`` over REPEATS runs, after two untimed ones."""

    def spent() -> float:
        there = 0 if other is None else int(Path(f"/proc/{other}/schedstat").read_text().split()[0])
        return time.process_time() + 1e-9 * there

    for _ in range(2):
        work()
    began = spent()
    for _ in range(REPEATS):
        work()
    return (spent() - began) / REPEATS


def least(work: Callable[[], object], repeats: int) -> float:
    """Seconds of wall clock of the fastest of the repeats; one more run before is not timed."""
    work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)
