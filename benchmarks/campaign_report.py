"""A report of measurement campaigns: the same subnets on several runtimes of this machine.

For each runtime: how well its campaign repeats itself and whether it is believed, its latencies, the
reference networks, and its scale against an earlier report (``--baseline``); for each pair of runtimes,
how alike they rank the subnets. Written as JSON, and as text for people.

    python -m benchmarks.campaign_report --runtimes eager,onnxruntime,openvino --json report.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.subnets import random_candidates
from predictors.campaign import Campaign
from predictors.device import Device
from predictors.profiler import run_campaign
from predictors.protocol import MeasurementProtocol
from predictors.quality import rank_correlations
from predictors.references.modules import reference_candidates
from predictors.runtimes.registry import RUNTIMES, get_runtime
from predictors.trust import judge

ALIASES = {"onnx": "onnxruntime"}


def main() -> None:
    """Measure, print and write."""
    arguments = _parser().parse_args()
    torch.set_num_threads(1)
    candidates = random_candidates(arguments.space, arguments.subnets, arguments.seed)
    references = reference_candidates()
    protocol = MeasurementProtocol(seed=arguments.seed, passes=arguments.passes, memory=arguments.memory)
    baseline = json.loads(arguments.baseline.read_text())["runtimes"] if arguments.baseline else {}
    report: dict[str, Any] = {
        "space": arguments.space,
        "subnets": arguments.subnets,
        "seed": arguments.seed,
        "protocol": asdict(protocol),
        "runtimes": {},
    }
    campaigns = {}
    for name in (ALIASES.get(name, name) for name in arguments.runtimes.split(",")):
        runtime = get_runtime(name)
        device = runtime.device(threads=arguments.threads)
        campaign = run_campaign(runtime, device, candidates, protocol, references=references)
        campaigns[name] = campaign
        known = baseline.get(name, {})
        before = known.get("references_ms") if known.get("fingerprint") == device.fingerprint else None
        report["runtimes"][name] = row = runtime_row(campaign, device, protocol, before)
        print(text_of(name, row), flush=True)
    report["rank_correlations"] = agreement(campaigns)
    for row in report["rank_correlations"]:
        print(
            f"{row['first']} and {row['second']}: Spearman {row['spearman']:.4f}, "
            f"Kendall {row['kendall_tau']:.4f}, {row['n']} subnets"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


def runtime_row(
    campaign: Campaign, device: Device, protocol: MeasurementProtocol, before: Sequence[float] | None
) -> dict[str, Any]:
    """What one campaign says, by the rule that decides what enters a fit."""
    verdict = judge(campaign, before, protocol)
    latencies = [sample.latency_ms for sample in campaign.samples]
    peaks = [s.quantities.run_peak_memory_bytes for s in campaign.samples]
    sizes = [s.quantities.file_size_bytes for s in campaign.samples]
    return {
        "device": asdict(device),
        "fingerprint": device.fingerprint,
        "believed": verdict.is_good,
        "reasons": list(verdict.reasons),
        "required_spearman": protocol.required_spearman(device.runtime),
        **campaign.repeatability,
        "passes": len(campaign.samples[0].cpu_ms) if campaign.samples else 0,
        "latency_ms": _spread(latencies),
        "file_size_bytes": _spread([size for size in sizes if size is not None]),
        "run_peak_memory_bytes": _spread([peak for peak in peaks if peak is not None]),
        "references_ms": list(verdict.references_ms),
        "references_geometric_mean_ms": float(np.exp(np.mean(np.log(verdict.references_ms)))),
        "scale": verdict.scale,
        "failures": {arch.key: reason for arch, reason in campaign.failures.items()},
        "notes": list(campaign.notes),
    }


def agreement(campaigns: Mapping[str, Campaign]) -> list[dict[str, Any]]:
    """Rank correlations between the runtimes, over the subnets that both could run."""
    times = {name: {s.arch: s.latency_ms for s in found.samples} for name, found in campaigns.items()}
    rows = []
    for first, second in combinations(times, 2):
        both = [arch for arch in times[first] if arch in times[second]]
        if len(both) < 2:
            continue
        spearman, kendall_tau = rank_correlations(
            *(np.array([times[name][arch] for arch in both]) for name in (first, second))
        )
        rows.append(
            {
                "first": first,
                "second": second,
                "n": len(both),
                "spearman": spearman,
                "kendall_tau": kendall_tau,
            }
        )
    return rows


def text_of(name: str, row: Mapping[str, Any]) -> str:
    """A few lines about one runtime."""
    verdict = "believed" if row["believed"] else "SUSPECT: " + "; ".join(row["reasons"])
    own = row.get("self_spearman")
    repeats = "too few repeats to say" if own is None else f"repeats itself at {own:.4f}"
    lines = [
        f"{name}: {verdict}; {repeats} ({row['required_spearman']} is required)",
        f"  {row['latency_ms']['n']} subnets; {len(row['failures'])} could not run",
        f"  references: {row['references_geometric_mean_ms']:.4f} ms (geometric mean), "
        f"scale {row['scale']:.3f}",
    ]
    for field, label, unit in (
        ("latency_ms", "latency, ms", 1.0),
        ("run_peak_memory_bytes", "peak memory of the run, MB", 1e6),
        ("file_size_bytes", "file, MB", 1e6),
    ):
        if (found := row[field])["n"]:
            low, median, high = (found[key] / unit for key in ("min", "median", "max"))
            lines.append(f"  {label}: {low:.3f} to {high:.3f}, median {median:.3f}")
    return "\n".join([*lines, *(f"  {note}" for note in row["notes"])])


def _spread(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {"n": 0}
    return {"n": len(values), "min": min(values), "median": float(np.median(values)), "max": max(values)}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--space", default="hybrid-tiny")
    parser.add_argument(
        "--runtimes", default="eager,onnxruntime", help=f"names with commas between: {', '.join(RUNTIMES)}"
    )
    parser.add_argument("--subnets", type=int, default=30)
    parser.add_argument("--passes", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--memory", action="store_true", help="peak memory too: seconds for each network")
    parser.add_argument("--baseline", type=Path, help="an earlier report, which is the scale of this one")
    parser.add_argument("--json", type=Path)
    return parser


if __name__ == "__main__":
    main()
