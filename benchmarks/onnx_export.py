"""The cost of subnets as ONNX files, and whether cheap files are as fast as those of a whole export.

Exports random subnets layer by layer with one exporter, as campaigns do, and some of them whole, as what
ships is; compares the files, and measures both in one campaign. CPU seconds of one thread.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from benchmarks.subnets import random_candidates
from predictors.profiler import MeasurementProtocol
from predictors.rounds import measure_sessions
from predictors.runtimes.onnx_export import OnnxExporter, export_onnx
from predictors.runtimes.onnx_runtime import OnnxRuntime
from predictors.runtimes.onnx_session import open_model
from searchspaces.space import Arch


def main() -> None:
    """Export, compare, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", default="hybrid-tiny")
    parser.add_argument("--subnets", type=int, default=100, help="exported layer by layer")
    parser.add_argument("--whole", type=int, default=12, help="of these exported whole and measured too")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    candidates = random_candidates(arguments.space, arguments.subnets, arguments.seed)
    exporter = OnnxExporter()
    merged, seconds = _exported(candidates, list(candidates), exporter.export)
    first = list(candidates)[: arguments.whole]
    whole, whole_seconds = _exported(candidates, first, export_onnx)
    report = {
        "space": arguments.space,
        "subnets": len(merged),
        "seconds": seconds,
        "whole_subnets": len(whole),
        "whole_seconds": whole_seconds,
        "equal_files": sum(merged[arch] == whole[arch] for arch in first),
        **_compared(merged, whole),
    }
    print(json.dumps(report, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


def _exported(
    candidates: Mapping[Arch, tuple[Any, torch.Tensor]], archs: list[Arch], export: Callable[..., Any]
) -> tuple[dict[Arch, bytes], float]:
    """The files of these archs, and the CPU seconds that they cost."""
    start = time.process_time()
    files = {arch: export(*candidates[arch]).SerializeToString() for arch in archs}
    return files, time.process_time() - start


def _compared(merged: Mapping[Arch, bytes], whole: Mapping[Arch, bytes]) -> dict[str, float]:
    """Spearman and mean ratio of the latencies of the same subnets from both kinds of files."""
    # numbered archs of made-up spaces: the two files of a subnet are two networks to the campaign
    files = {
        Arch(f"{kind}@1", (i,)): files[arch]
        for kind, files in (("merged", merged), ("whole", whole))
        for i, arch in enumerate(whole)
    }
    loaders = {arch: partial(open_model, file) for arch, file in files.items()}
    campaign = measure_sessions(loaders, OnnxRuntime().device(), MeasurementProtocol())
    latency = {sample.arch: sample.latency_ms for sample in campaign.samples}
    pairs = np.array(
        [[latency[Arch(f"{kind}@1", (i,))] for kind in ("merged", "whole")] for i in range(len(whole))]
    )
    logs = np.log(pairs[:, 0] / pairs[:, 1])
    return {
        "spearman": float(spearmanr(pairs[:, 0], pairs[:, 1]).statistic),
        "ratio": math.exp(float(logs.mean())),
        "largest_deviation": math.exp(float(np.abs(logs).max())) - 1,
    }


if __name__ == "__main__":
    main()
