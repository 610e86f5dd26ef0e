"""How many evaluations of a real supernet does a searcher need? Searchers, each with a budget of its own.

Every run is a searcher, a budget and a seed, through ask and tell; latency comes from a fitted
predictor, which all searchers know. Subnets evaluated by one run are not evaluated again for
another, which changes no run: an evaluation is a function of the subnet. They are written to
``--log`` as they come; started again with the same arguments, the script goes on where it was stopped.

Effects of choices beside the weights (``benchmarks.choice_effects``) are given to all searchers as
hints, unless ``--no-hints``; only ``guided`` learns from them.

Hypervolume: accuracy linear, latency logarithmic, both scaled to the range of all subnets that any
run evaluated, reference = the worst of each; as a share of that of the front of all runs together.

    nas demo --out demo    # trains a supernet and fits a predictor, below demo/nas-data
    python -m benchmarks.search_supernet --checkpoint demo/nas-data/supernets/NAME --data digits \
        --latency demo/nas-data/predictors/NAME --runs guided:100,nsga2:800,tpe:800 --seeds 5 \
        --log FILE.jsonl --json FILE.json
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.evaluation_log import append_to_log, open_log
from nas.data.load import load_data
from nas.data.types import Split
from nas.errors import ConfigError, DataError
from nas.evaluate.accuracy import calibration_images
from nas.evaluate.prefix.evaluator import PrefixEvaluator
from nas.pareto import hypervolume
from nas.search.knowledge import Knowledge
from nas.search.registry import get_searcher
from nas.supernet.checkpoint import load_supernet, read_checkpoint
from nas.types import Direction, Evaluation, Objective
from predictors.accuracy.effects import ChoiceEffects, has_effects
from predictors.latency_files import AnyLatencyPredictor, load_latency
from searchspaces.space import Arch, SearchSpace

LINE_S = 10.0  # between lines of progress
REFERENCE_SLACK = 1.1  # of the largest subnet's latency
AT = (50, 100, 200, 400, 800)  # budgets of which the JSON tells the hypervolume


def main() -> None:
    """Run what the log does not hold, print a line per searcher, write the JSON."""
    arguments = _arguments()
    torch.set_num_threads(1)
    evaluator = LoggedEvaluator.open(arguments)
    predictor = load_latency(arguments.latency, evaluator.space)
    hints = _hints(arguments, evaluator)
    known = Knowledge({"latency_ms": predictor}, hints=hints)
    runs = {
        (name, budget): [
            _run(name, budget, seed, evaluator, known, arguments.batch) for seed in range(arguments.seeds)
        ]
        for name, budget in _budgets(arguments.runs)
    }
    document = _summary(runs, evaluator, predictor)
    for name, row in document["searchers"].items():
        shares = "  ".join(f"{n}: {value:.4f}" for n, value in row["hypervolume_at"].items())
        print(f"{name:>10}, median share of hypervolume at  {shares}", flush=True)
    if arguments.json:
        settings = {
            "space": evaluator.space.id,
            "images": len(evaluator.split.labels),
            "seeds": arguments.seeds,
            "batch": arguments.batch,
            "evaluated": len(evaluator.known),
            "hints": [{"subnets": hint.n_subnets, "images": hint.n_images} for hint in hints],
        }
        arguments.json.write_text(json.dumps({"settings": settings, **document}, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder of a trained supernet")
    parser.add_argument("--data", required=True, help="what it was trained on: digits, cifar10:DIR, ...")
    parser.add_argument("--latency", type=Path, required=True, help="folder of a latency predictor")
    parser.add_argument("--runs", default="guided:100,nsga2:800,tpe:800", help="searcher:budget, ...")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--images", type=int, help="random validation images; all if not given")
    parser.add_argument(
        "--hints",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="give searchers the effects of choices that lie beside the weights",
    )
    parser.add_argument("--log", type=Path, required=True, help="JSONL of the evaluations")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _budgets(text: str) -> list[tuple[str, int]]:
    """Raises ConfigError for what is not searcher:budget."""
    pairs = [part.partition(":") for part in text.split(",")]
    if not all(budget.isdigit() and int(budget) > 0 for _, _, budget in pairs):
        raise ConfigError(f"--runs must be searcher:budget, separated by commas; got {text!r}")
    return [(name, int(budget)) for name, _, budget in pairs]


@dataclass(slots=True, eq=False)
class LoggedEvaluator:
    """Top-1 of subnets of one supernet, each evaluated once; ``known`` is what the log holds."""

    evaluator: PrefixEvaluator
    space: SearchSpace
    split: Split
    known: dict[Arch, float]
    log: Path
    printed: float = 0.0

    @classmethod
    def open(cls, arguments: argparse.Namespace) -> LoggedEvaluator:
        """Raises DataError for other data than the supernet's, or a log written with other settings."""
        supernet = load_supernet(arguments.checkpoint)
        header = read_checkpoint(arguments.checkpoint, "supernet")[1]
        data = load_data(arguments.data)
        if data.digest != header["info"]["data_digest"]:
            raise DataError(f"{arguments.data}: not the images that {arguments.checkpoint} was trained on")
        chosen = np.random.default_rng(21).permutation(len(data.val))[: arguments.images]
        split = Split(data.val.images[chosen], data.val.labels[chosen])
        calibration = calibration_images(data.train, seed=int(header["info"]["seed"]))
        settings = {"supernet_sha256": header["sha256"], "images": len(split.labels)}
        known = open_log(arguments.log, settings, supernet.space)
        return cls(PrefixEvaluator(supernet, split, calibration), supernet.space, split, known, arguments.log)

    def top1(self, archs: Sequence[Arch], label: str) -> list[float]:
        """Fractions of the validation images, in the order of the archs."""
        new = list(dict.fromkeys(arch for arch in archs if arch not in self.known))
        if new:
            found = [
                (evaluation.arch, evaluation.values["top1"]) for evaluation in self.evaluator.evaluate(new)
            ]
            append_to_log(self.log, found)
            self.known |= dict(found)
        if time.monotonic() - self.printed > LINE_S:
            self.printed = time.monotonic()
            print(f"{label}; {len(self.known)} subnets evaluated in all", flush=True)
        return [self.known[arch] for arch in archs]


@dataclass(frozen=True, slots=True, eq=False)
class SupernetRun:
    """The archs that one run asked, in order, and the CPU seconds that its searcher took."""

    archs: list[Arch]
    cpu_seconds: float


def _hints(arguments: argparse.Namespace, evaluator: LoggedEvaluator) -> tuple[ChoiceEffects, ...]:
    """The effects of choices that were observed when the supernet had been trained, if there are any."""
    if not (arguments.hints and has_effects(arguments.checkpoint)):
        return ()
    digest = read_checkpoint(arguments.checkpoint, "supernet")[1]["sha256"]
    return (ChoiceEffects.load(arguments.checkpoint, evaluator.space, digest),)


def _run(
    name: str,
    budget: int,
    seed: int,
    evaluator: LoggedEvaluator,
    known: Knowledge,
    batch: int,
) -> SupernetRun:
    predictor = known.predictors["latency_ms"]
    largest = float(predictor.predict([evaluator.space.extreme(largest=True)]).mean[0])
    objectives = (
        Objective("top1", Direction.MAXIMIZE, 0.0),
        Objective("latency_ms", Direction.MINIMIZE, REFERENCE_SLACK * largest),
    )
    began, spent = time.process_time(), 0.0
    searcher = get_searcher(name)(evaluator.space, objectives, known=known, seed=seed)
    asked: list[Arch] = []
    while len(asked) < budget:
        archs = searcher.ask(min(batch, budget - len(asked)))
        if not archs:
            break
        paused = time.process_time()
        top1 = evaluator.top1(archs, f"{name} seed {seed}: {len(asked)}/{budget}")
        spent += time.process_time() - paused
        latency = predictor.predict(archs).mean.tolist()
        searcher.tell(
            [
                Evaluation(arch, {"top1": accuracy, "latency_ms": ms})
                for arch, accuracy, ms in zip(archs, top1, latency, strict=True)
            ]
        )
        asked += archs
    return SupernetRun(asked, time.process_time() - began - spent)


def _summary(
    runs: dict[tuple[str, int], list[SupernetRun]],
    evaluator: LoggedEvaluator,
    predictor: AnyLatencyPredictor,
) -> dict[str, Any]:
    """Medians over the seeds, and every run's share at the end of its budget."""
    archs = list(dict.fromkeys(arch for group in runs.values() for run in group for arch in run.archs))
    costs = _costs([evaluator.known[arch] for arch in archs], predictor.predict(archs).mean)
    of = dict(zip(archs, costs, strict=True))
    whole = hypervolume(costs, np.ones(2))
    searchers: dict[str, Any] = {}
    for (name, budget), group in runs.items():
        shares = {
            n: [
                hypervolume(np.array([of[arch] for arch in run.archs[:n]]), np.ones(2)) / whole
                for run in group
            ]
            for n in sorted({*(n for n in AT if n < budget), budget})
        }
        searchers[name] = {
            "budget": budget,
            "hypervolume_at": {str(n): float(np.median(values)) for n, values in shares.items()},
            "hypervolume_of_seeds": shares[budget],
            "cpu_seconds_per_run": float(np.mean([run.cpu_seconds for run in group])),
        }
    return {"searchers": searchers}


def _costs(top1: Sequence[float], latency_ms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Costs (n, 2) in [0, 1]: accuracy linear, latency logarithmic, 1 is the worst."""
    columns = np.stack([-np.array(top1), np.log(latency_ms)], axis=1)
    low, high = columns.min(0), columns.max(0)
    return np.asarray((columns - low) / (high - low))


if __name__ == "__main__":
    main()
