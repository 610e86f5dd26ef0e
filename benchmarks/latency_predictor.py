"""How well is latency predicted? Measure random subnets, fit to some, judge on the others.

Prints, for each runtime, the quality on held-out subnets for growing numbers of measured ones,
as the mean over random splits of one campaign, and how well the campaign repeats itself, which
bounds every predictor.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.subnets import random_candidates
from predictors.campaign import Campaign
from predictors.device import Device
from predictors.latency import LatencyPredictor
from predictors.profiler import MeasurementProtocol, run_campaign
from predictors.quality import evaluate_predictor
from predictors.runtimes.registry import RUNTIMES, get_runtime
from searchspaces.registry import get_space
from searchspaces.space import SearchSpace


def main() -> None:
    """Measure, fit and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", default="hybrid-tiny")
    parser.add_argument("--runtime", choices=[*RUNTIMES, "all"], default="all")
    parser.add_argument("--train", type=int, nargs="+", default=[20, 50, 100])
    parser.add_argument("--held-out", type=int, default=60)
    parser.add_argument("--splits", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    space = get_space(arguments.space)
    count = max(arguments.train) + arguments.held_out
    candidates = random_candidates(arguments.space, count, arguments.seed)
    rows = []
    for name in RUNTIMES if arguments.runtime == "all" else [arguments.runtime]:
        runtime = get_runtime(name)
        start = time.perf_counter()
        campaign = run_campaign(runtime, runtime.device(), candidates, MeasurementProtocol())
        seconds = time.perf_counter() - start
        print(
            f"{arguments.space} {name}: {len(campaign.samples)} subnets in {seconds:.0f} s, self-Spearman "
            f"{campaign.self_spearman or float('nan'):.4f}, error {campaign.relative_error or 0.0:.1%}, "
            f"wall/CPU {campaign.wall_over_cpu:.2f}"
        )
        for n in arguments.train:
            row = judge(space, runtime.device(), campaign, n, arguments.splits)
            rows.append({"runtime": name, "self_spearman": campaign.self_spearman, "seconds": seconds, **row})
            print(
                f"  {n:4d} measured: Spearman {row['spearman']:.4f} (worst {row['worst_spearman']:.4f}), "
                f"Kendall {row['kendall_tau']:.3f}, MAPE {row['mape']:.1%}, within 10 % "
                f"{row['within_10']:.1%}, coverage {row['coverage_90']:.1%}"
            )
    if arguments.json:
        settings = {"space": arguments.space, "seed": arguments.seed, "splits": arguments.splits}
        arguments.json.write_text(json.dumps({**settings, "rows": rows}, indent=1) + "\n")


def judge(space: SearchSpace, device: Device, campaign: Campaign, n: int, splits: int) -> dict[str, Any]:
    """Mean quality over random splits into ``n`` measured and the rest held out."""
    archs = [sample.arch for sample in campaign.samples]
    targets = np.array([sample.latency_ms for sample in campaign.samples])
    found = []
    for split in range(splits):
        order = np.random.default_rng([split, n]).permutation(len(archs)).tolist()
        train, test = order[:n], order[n:]
        predictor = LatencyPredictor(space, device)
        predictor.fit([archs[i] for i in train], targets[train])
        quality = evaluate_predictor(predictor, [archs[i] for i in test], targets[test], n_train=n)
        found.append(asdict(quality))
    mean = {key: float(np.mean([row[key] for row in found])) for key in found[0]}
    return {**mean, "worst_spearman": min(row["spearman"] for row in found)}


if __name__ == "__main__":
    main()
