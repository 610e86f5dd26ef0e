"""How fast latencies are predicted: subnets by their genes, beside decoding each of them.

The figures are CPU seconds per million subnets, medians over rounds in which both ways take
turns; the device and the latencies that the predictor is fitted to are made up.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from predictors.device import Device
from predictors.latency import LatencyPredictor
from searchspaces.genes import archs_of, sample_genes
from searchspaces.registry import get_space

FITTED = 100  # subnets that the predictor is fitted to
DECODED = 2000  # subnets that are decoded in a round


def main() -> None:
    """Time both ways and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", default="hybrid-cifar")
    parser.add_argument("--subnets", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    space = get_space(arguments.space)
    genes = sample_genes(space, arguments.subnets, rng)
    archs, latencies = archs_of(space, genes[:FITTED]), rng.uniform(1.0, 2.0, FITTED)
    predictor, decoding = (
        LatencyPredictor(one, Device("made-up", "none", "none", "0"))
        for one in (space, replace(space, parts=None))
    )
    predictor.fit(archs, latencies)
    decoding.fit(archs, latencies)
    times: dict[str, list[float]] = {"genes": [], "decoded": []}
    for measured in range(-1, arguments.rounds):  # the first round warms up
        began = time.process_time()
        predictor.predict_genes(genes)
        between = time.process_time()
        decoding.predict_genes(genes[:DECODED])
        ended = time.process_time()
        if measured >= 0:
            times["genes"].append((between - began) / len(genes))
            times["decoded"].append((ended - between) / min(DECODED, len(genes)))
    seconds = {name: 1e6 * float(np.median(values)) for name, values in times.items()}
    for name, value in seconds.items():
        print(f"{name:8} {value:8.2f} CPU s per million   x {seconds['decoded'] / value:.1f}")
    if arguments.json:
        row = {"space": arguments.space, "cpu_s_per_million": seconds}
        arguments.json.write_text(json.dumps(row, indent=1) + "\n")


if __name__ == "__main__":
    main()
