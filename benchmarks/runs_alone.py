"""How many subnets trained alone it takes to rank others, with and without the supernet's estimates.

The first runs of the checkpoint's ``standalone.json`` are fitted, and the subnets of another file
of runs are ranked; the checkpoint's predictors of likelihood and of top-1 are the estimates.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from scipy.stats import spearmanr

from nas.fidelity.alone import FILE, predictor_of_runs
from nas.fidelity.runs import load_runs
from nas.fidelity.truth import truth_of_runs
from predictors.accuracy.predictor import ACCURACY_FOLDER, LIKELIHOOD_FOLDER, AccuracyPredictor
from searchspaces.registry import get_space
from searchspaces.space import Arch

TRUTH = Path(__file__).parent / "results" / "hybrid_standalone.json"


def main() -> None:
    """Print Spearman's rho for each number of runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/hybrid-cifar"))
    parser.add_argument("--truth", type=Path, default=TRUTH)
    parser.add_argument("--runs", default="6,10,14,17,20,24,27,30")
    arguments = parser.parse_args()
    runs = load_runs(arguments.checkpoint / FILE)
    space = get_space(runs.space.partition("@")[0])
    truth = truth_of_runs(arguments.truth, space)
    estimates: dict[str, AccuracyPredictor | None] = {
        name: AccuracyPredictor.load(arguments.checkpoint / name, space)
        for name in (LIKELIHOOD_FOLDER, ACCURACY_FOLDER)
    }
    for name, estimate in estimates.items():
        assert estimate is not None
        print(f"{name:10} alone {_rho(estimate, truth.archs, truth.top1):.3f}")
    estimates["none"] = None
    for count in map(int, arguments.runs.split(",")):
        first = replace(runs, runs=runs.runs[:count])
        fits = {name: predictor_of_runs(first, space, lower=estimate) for name, estimate in estimates.items()}
        row = "  ".join(f"{name} {_rho(fit, truth.archs, truth.top1):.3f}" for name, fit in fits.items())
        print(f"{count:3} runs:  {row}", flush=True)


def _rho(predictor: AccuracyPredictor, archs: tuple[Arch, ...], top1: tuple[float, ...]) -> float:
    return float(spearmanr(predictor.predict(archs).mean, top1).statistic)


if __name__ == "__main__":
    main()
