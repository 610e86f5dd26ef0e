"""Does a measurement repeat itself? Two rounds over the same subnets, minutes apart.

Each round runs in a process of its own, so nothing but the machine is shared. Prints, for each
runtime, the Spearman correlation of the two rounds and how far a subnet's two latencies lie
apart, as they are and after one common factor is taken out.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr

from benchmarks.subnets import random_candidates
from predictors.profiler import MeasurementProtocol, run_campaign
from predictors.runtimes.registry import RUNTIMES, get_runtime


def main() -> None:
    """Measure two rounds and print how they agree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", default="hybrid-tiny")
    parser.add_argument("--runtime", choices=[*RUNTIMES, "all"], default="all")
    parser.add_argument("--subnets", type=int, default=30)
    parser.add_argument("--minutes", type=float, default=3.0, help="pause between the rounds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    runtimes = list(RUNTIMES) if arguments.runtime == "all" else [arguments.runtime]
    rounds = []
    for round_ in range(2):
        if round_:
            time.sleep(60 * arguments.minutes)
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context) as executor:
            rounds.append(
                executor.submit(
                    measure, runtimes, arguments.space, arguments.subnets, arguments.seed, round_
                ).result()
            )
    rows = [compare(runtime, first, second) for runtime, first, second in zip(runtimes, *rounds, strict=True)]
    for row in rows:
        print(
            f"{row['runtime']:12s} Spearman {row['spearman']:.4f}, median difference "
            f"{row['median_difference']:.1%} ({row['median_difference_rescaled']:.1%} rescaled), "
            f"{row['n']} subnets of {row['min_ms']:.2f} to {row['max_ms']:.2f} ms"
        )
    if arguments.json:
        settings = {"space": arguments.space, "minutes": arguments.minutes, "seed": arguments.seed}
        arguments.json.write_text(json.dumps({**settings, "rows": rows}, indent=1) + "\n")


def measure(runtimes: list[str], space: str, subnets: int, seed: int, round_: int) -> list[list[float]]:
    """Latencies in ms of the subnets on each runtime; the order of measuring differs by round."""
    torch.set_num_threads(1)
    candidates = random_candidates(space, subnets, seed)
    latencies = []
    for name in runtimes:
        runtime = get_runtime(name)
        protocol = MeasurementProtocol(seed=round_)
        campaign = run_campaign(runtime, runtime.device(), candidates, protocol)
        latencies.append([sample.latency_ms for sample in campaign.samples])
    return latencies


def compare(runtime: str, first: list[float], second: list[float]) -> dict[str, float | str]:
    """Agreement of two rounds."""
    difference = np.log(np.array(second) / np.array(first))
    return {
        "runtime": runtime,
        "n": len(first),
        "spearman": float(spearmanr(first, second).statistic),
        "median_difference": float(np.median(np.abs(difference))),
        "median_difference_rescaled": float(np.median(np.abs(difference - np.median(difference)))),
        "min_ms": min(first),
        "max_ms": max(first),
    }


if __name__ == "__main__":
    main()
