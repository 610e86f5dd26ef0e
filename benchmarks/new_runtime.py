"""A new runtime from a few chosen measurements, when another runtime of this machine is known.

Random subnets are measured on both runtimes; of the new one a few chosen measurements are told,
and predictions are judged on other subnets. Beside it: the known runtime's latencies, rescaled.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from benchmarks.subnets import random_candidates
from predictors.profiler import MeasurementProtocol, run_campaign
from predictors.quality import evaluate_predictor, rank_correlations
from predictors.runtimes.registry import RUNTIMES, get_runtime
from predictors.transfer.predictor import SourceData, TransferPredictor
from searchspaces.registry import get_space


def main() -> None:
    """Measure, choose, fit and judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", default="hybrid-tiny")
    parser.add_argument("--known", choices=list(RUNTIMES), default="onnxruntime")
    parser.add_argument("--new", choices=list(RUNTIMES), default="openvino")
    parser.add_argument("--measured", type=int, default=100, help="subnets measured on the known runtime")
    parser.add_argument("--samples", type=int, default=10, help="of these measured on the new one")
    parser.add_argument("--held-out", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    candidates = random_candidates(arguments.space, arguments.measured + arguments.held_out, arguments.seed)
    archs = list(candidates)
    times = {}
    for name in (arguments.known, arguments.new):
        runtime = get_runtime(name)
        campaign = run_campaign(runtime, runtime.device(), candidates, MeasurementProtocol())
        times[name] = {sample.arch: sample.latency_ms for sample in campaign.samples}
        print(f"{name}: {len(times[name])} subnets, self-Spearman {campaign.self_spearman:.4f}", flush=True)
    pool, held_out = archs[: arguments.measured], archs[arguments.measured :]
    known, new = times[arguments.known], times[arguments.new]
    source = SourceData(tuple(pool), np.array([known[arch] for arch in pool]))
    device = get_runtime(arguments.new).device()
    predictor = TransferPredictor(
        get_space(arguments.space), device, {arguments.known: source}, seed=arguments.seed
    )
    chosen = predictor.choose(arguments.samples, pool)
    predictor.fit(chosen, np.array([new[arch] for arch in chosen]))
    targets = np.array([new[arch] for arch in held_out])
    quality = evaluate_predictor(predictor, held_out, targets, n_train=len(chosen))
    rescaled, _ = rank_correlations(np.array([known[arch] for arch in held_out]), targets)
    found = {**asdict(quality), "known_latency_spearman": rescaled}
    print(json.dumps(found, indent=1))
    if arguments.json:
        settings = {name: getattr(arguments, name) for name in ("space", "known", "new", "measured", "seed")}
        arguments.json.write_text(json.dumps({**settings, **found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
