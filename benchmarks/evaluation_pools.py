"""Subnet evaluations per second: in this process, and on a pool of Ray actors, side by side.

An evaluation is what a search does: extract, recalibrate, fold, run on the validation split.
The two take turns over the same random subnets; the first turn warms up, medians are reported.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nas.data.load import load_data
from nas.evaluate.accuracy import SupernetEvaluator, calibration_images
from nas.evaluate.evaluator import EvaluationPool
from nas.evaluate.inline_pool import InlinePool
from nas.evaluate.ray_pool import RayPool
from nas.supernet.checkpoint import supernet_arrays, supernet_from_arrays, supernet_header
from nas.supernet.supernet import Supernet
from searchspaces.registry import get_space
from searchspaces.space import Arch


@dataclass(frozen=True, slots=True)
class Factory:
    """Builds the evaluator of a source of data around shared weights."""

    header: Mapping[str, Any]
    source: str

    def __call__(self, arrays: Mapping[str, Any]) -> SupernetEvaluator:
        """An evaluator on the validation split."""
        data = load_data(self.source)
        return SupernetEvaluator(
            supernet_from_arrays(arrays, self.header), data.val, calibration_images(data.train)
        )


def main() -> None:
    """Time both pools and print evaluations per second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--space", default="hybrid-tiny")
    parser.add_argument("--subnets", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--actors", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = load_data(arguments.data)
    space = get_space(arguments.space)
    supernet = Supernet(space, n_classes=data.n_classes, in_channels=data.in_channels).eval()
    arrays, factory = supernet_arrays(supernet), Factory(supernet_header(supernet), arguments.data)
    rng = np.random.default_rng(0)
    archs = [space.sample(rng) for _ in range(arguments.subnets)]
    pools: dict[str, EvaluationPool] = {
        "inline": InlinePool(factory(arrays)),
        f"ray-{arguments.actors}": RayPool(factory, arrays, arguments.actors),
    }
    rates: dict[str, list[float]] = {name: [] for name in pools}
    for turn in range(arguments.rounds + 1):
        for name, pool in pools.items():
            rate = evaluations_per_second(pool, archs)
            if turn:
                rates[name].append(rate)
    for pool in pools.values():
        pool.close()
    rows = [{"pool": name, "evaluations_per_s": statistics.median(values)} for name, values in rates.items()]
    for row in rows:
        print(f"{row['pool']:8} {row['evaluations_per_s']:.2f} evaluations/s")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


def evaluations_per_second(pool: EvaluationPool, archs: Sequence[Arch]) -> float:
    """Submit the archs in chunks of four and wait for all."""
    began = time.perf_counter()
    wait([pool.submit(archs[i : i + 4]) for i in range(0, len(archs), 4)])
    return len(archs) / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
