"""Discrete-event simulation of one study: a driver that does one thing at a time, and its workers.

The loop is that of ``nas.study``: ask a batch, store it, read what is known of it already, give its
chunks to free workers, store what has come back whenever there is something, tell the batch once all
of it is there. The driver's steps cost what was measured; a chunk takes as long as its evaluations do,
whose times are drawn from a gamma distribution.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

import numpy as np

from nas.evaluate.chunks import CHUNKS_PER_SLOT


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds, as measured. All but ``evaluate_s`` and ``call_latency_s`` occupy the driver."""

    evaluate_s: float  # one evaluation on one worker
    evaluate_cv: float  # its standard deviation over its mean
    call_s: float  # handing a chunk to an actor and taking its result
    recall_s: float  # asking for known values, once a batch
    recall_arch_s: float  # of that, for one arch more
    call_latency_s: float  # until an idle actor begins
    ask_s: float  # one arch, with nothing told
    ask_told_s: float  # more of it for each evaluation told before, once a batch
    start_s: float  # storing one trial as running, within a batch
    commit_s: float  # a transaction
    finish_s: float  # one evaluation stored within it


@dataclass(frozen=True, slots=True)
class Plan:
    """A study on so many workers, in batches of this size.

    ``grouped``: one commit for all that has come back; otherwise one for each evaluation.
    """

    evaluations: int
    workers: int
    batch: int
    grouped: bool = True
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """Seconds in all, evaluations per second, and shares of that time in which each resource was busy."""

    seconds: float
    per_s: float
    workers: float
    asking: float
    storing: float
    calling: float

    @property
    def driver(self) -> float:
        """Share of the time in which the driver was busy with anything."""
        return self.asking + self.storing + self.calling

    @property
    def bottleneck(self) -> str:
        """What would have to be faster: a part of the driver, the workers, or nothing but the batch's end."""
        if self.driver >= max(self.workers, 0.7):
            parts = {"asking": self.asking, "storing": self.storing, "calling": self.calling}
            return max(parts, key=parts.__getitem__)
        return "workers" if self.workers >= 0.7 else "end of batches"


def simulate(costs: Costs, plan: Plan) -> Outcome:
    """Run the study of ``plan`` to its end."""
    rng = np.random.default_rng([plan.seed, plan.workers, plan.batch])
    now, told = 0.0, 0
    asking = storing = calling = working = 0.0
    while told < plan.evaluations:
        size = min(plan.batch, plan.evaluations - told)
        ask = costs.ask_s * size + costs.ask_told_s * told
        start = costs.commit_s + costs.start_s * size
        recall = costs.recall_s + costs.recall_arch_s * size
        now += ask + start + recall
        asking, storing, calling = asking + ask, storing + start, calling + recall
        chunks = _chunks(size, plan.workers)
        times = _durations(costs, chunks, rng)
        working += float(times.sum())
        now, n_calls, stored = _run_batch(costs, plan, chunks, times + costs.call_latency_s, now)
        calling += n_calls * costs.call_s
        storing, told = storing + stored, told + size
    whole = now * plan.workers
    return Outcome(now, told / now, working / whole, asking / now, storing / now, calling / now)


def _chunks(size: int, workers: int) -> list[int]:
    """Sizes of a batch's chunks, as ``nas.evaluate.chunks`` cuts them."""
    chunk = max(1, math.ceil(size / (workers * CHUNKS_PER_SLOT)))
    return [min(chunk, size - first) for first in range(0, size, chunk)]


def _durations(costs: Costs, chunks: list[int], rng: np.random.Generator) -> np.ndarray:
    """Seconds of each chunk: sums of gamma times, which are gamma again."""
    shape = 1.0 / costs.evaluate_cv**2
    return rng.gamma(shape * np.array(chunks), costs.evaluate_s / shape)


def _run_batch(
    costs: Costs, plan: Plan, chunks: list[int], times: np.ndarray, now: float
) -> tuple[float, int, float]:
    """The time when all chunks are stored, the number of calls, and the seconds spent storing."""
    running: list[tuple[float, int]] = []  # (time when it ends, size), the next one to end first
    following, storing = 0, 0.0
    while following < len(chunks) or running:
        while following < len(chunks) and len(running) < plan.workers:
            now += costs.call_s
            heapq.heappush(running, (now + times[following], chunks[following]))
            following += 1
        now = max(now, running[0][0])
        size = 0
        while running and running[0][0] <= now:  # all that have ended while the driver was busy
            size += heapq.heappop(running)[1]
        commits = 1 if plan.grouped else size
        store = commits * costs.commit_s + size * costs.finish_s
        now, storing = now + store, storing + store
    return now, len(chunks), storing
