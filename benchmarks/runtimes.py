"""The same random subnets on every runtime that this machine has, one beside the other.

Prints for each runtime the median and the extremes of the latencies, how well the campaign repeats
itself, how the runtime ranks the subnets against the first one, and the CPU time of loading a subnet.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from benchmarks.subnets import random_candidates
from predictors.profiler import MeasurementProtocol, run_campaign
from predictors.runtimes.registry import RUNTIMES, get_runtime
from predictors.runtimes.requirements import missing
from searchspaces.space import Arch


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", default="hybrid-tiny")
    parser.add_argument(
        "--runtimes", default=",".join(RUNTIMES), help="by default all; missing ones are named"
    )
    parser.add_argument("--subnets", type=int, default=12)
    parser.add_argument(
        "--repeated", type=float, default=0.25, help="share measured twice; a tenth is too few"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    candidates = random_candidates(arguments.space, arguments.subnets, arguments.seed)
    protocol = MeasurementProtocol(repeat_fraction=arguments.repeated)
    rows: list[dict[str, Any]] = []
    for name in arguments.runtimes.split(","):
        problem = missing(name)
        if problem is not None:
            print(f"{name:17s} not measured: {problem}", flush=True)
            continue
        rows.append(measure(name, candidates, protocol))
        print(line(rows[-1], rows[0]), flush=True)
    if arguments.json:
        settings = {key: getattr(arguments, key) for key in ("space", "subnets", "seed")}
        arguments.json.write_text(json.dumps({**settings, "rows": rows}, indent=1) + "\n")


def measure(
    name: str, candidates: dict[Arch, tuple[nn.Module, Tensor]], protocol: MeasurementProtocol
) -> dict[str, Any]:
    """One campaign; ``load_s`` is CPU time, that of compilers included."""
    runtime = get_runtime(name)
    started = _cpu_s()
    with runtime.limit_threads(1):
        runtime.load(*next(iter(candidates.values())))
    load_s = _cpu_s() - started
    campaign = run_campaign(runtime, runtime.device(), candidates, protocol)
    return {
        "runtime": name,
        "version": runtime.version,
        "latency_ms": {sample.arch.key: sample.latency_ms for sample in campaign.samples},
        "self_spearman": campaign.self_spearman,
        "failures": list(campaign.failures.values()),
        "load_s": load_s,
    }


def line(row: dict[str, Any], first: dict[str, Any]) -> str:
    """A row as text; ranks are compared on the subnets that both runtimes ran."""
    both = [key for key in first["latency_ms"] if key in row["latency_ms"]]
    rho = spearmanr([first["latency_ms"][k] for k in both], [row["latency_ms"][k] for k in both]).statistic
    times = list(row["latency_ms"].values())
    found = row["self_spearman"]
    repeats = "unknown" if found is None else f"{found:.4f}"
    return (
        f"{row['runtime']:17s} median {np.median(times):6.3f} ms ({min(times):.3f} to {max(times):.3f}), "
        f"self-Spearman {repeats}, Spearman with {first['runtime']} {rho:.3f}, load {row['load_s']:.1f} s, "
        f"{len(row['failures'])} refused"
    )


def _cpu_s() -> float:
    """CPU seconds of this process and of its finished children."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


if __name__ == "__main__":
    main()
