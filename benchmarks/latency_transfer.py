"""Judge predictions of a new device from a few chosen measurements and other devices' many.

For every seed, random archs of a recorded table are measured on every source device; a method
chooses which of them to measure on the target before it sees any of the target's values, is told
those values, and is judged on all other archs of the table. `--method all` runs the baselines of
`benchmarks/transfer_baselines.py` on the same archs.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import kendalltau, spearmanr

from benchmarks.transfer_baselines import BASELINES
from benchmarks.transfer_task import Method, Task, read_table
from benchmarks.transfer_task import Table as RecordedTable
from predictors.predictor import Prediction
from predictors.transfer.families.choices import table_features
from predictors.transfer.model import FewShotFit, FewShotModel
from predictors.transfer.sources import SourceMeasurements
from predictors.transfer.tables import FeatureMap, FloatArray, IntArray

DEFAULT = "transfer_gp"
METRICS = ("spearman", "kendall_tau", "within_5", "within_10", "coverage_90")
MILLION = 1_000_000
QUICK_SECONDS = 30.0  # expected for a million


class TransferGp:
    """Our method: `predictors.transfer.model.FewShotModel`."""

    def __init__(self, task: Task) -> None:
        """Fit the sources; the target is not known yet."""
        self._features: FeatureMap = table_features(task.choices)
        self._pool = task.genes
        sources = [SourceMeasurements(name, task.genes, values) for name, values in task.sources.items()]
        self._model = FewShotModel(self._features, sources, seed=task.seed)
        self._fit: FewShotFit | None = None

    def choose(self, n: int) -> list[int]:
        """Rows of the task's archs to measure."""
        return self._model.choose(self._pool, n)

    def fit(self, rows: Sequence[int], values: FloatArray) -> None:
        """Fit to the target's values of those rows."""
        self._fit = self._model.fit(self._pool[list(rows)], values)

    def predict(self, genes: IntArray) -> Prediction:
        """Predict any genes."""
        assert self._fit is not None
        return self._fit.predict(self._features, genes)


METHODS: Mapping[str, Callable[[Task], Method]] = {DEFAULT: TransferGp, **BASELINES}


class Oracle:
    """The target's values, handed out by row and counted."""

    def __init__(self, values: FloatArray, budget: int) -> None:
        self._values = values
        self._budget = budget
        self.asked = 0

    def measure(self, rows: Sequence[int]) -> FloatArray:
        """Values of these rows; raises RuntimeError beyond the budget."""
        self.asked += len(rows)
        if self.asked > self._budget:
            raise RuntimeError(
                f"the method asked for {self.asked} values of the target; {self._budget} allowed"
            )
        return self._values[list(rows)]


@dataclass(frozen=True, slots=True)
class Score:
    """Metrics of one target and seed, and seconds of the fit."""

    metrics: dict[str, float]
    fit_seconds: float


def main() -> None:
    """Run and write the JSON."""
    arguments = _arguments()
    table = read_table(arguments.table)
    names = list(METHODS) if arguments.method == "all" else [arguments.method]
    document: dict[str, Any] = {
        "default": DEFAULT,
        "methods": {},
        "table": arguments.table.name,
        "sources": arguments.sources,
        "samples": arguments.samples,
        "source_samples": arguments.source_samples,
        "seeds": arguments.seeds,
    }
    for name in names:
        document["methods"][name] = found = run(name, table, arguments)
        mean = found["mean"]
        print(
            f"{name:18s} Spearman {mean['spearman']:.4f}, Kendall {mean['kendall_tau']:.3f}, within 10 % "
            f"{mean['within_10']:.1%}, coverage {mean['coverage_90']:.1%}, fit {found['fit_seconds']:.2f} s, "
            f"a million predicted in {found['predict_seconds_per_million']:.2f} s",
            flush=True,
        )
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(document, indent=1) + "\n")


def run(name: str, table: RecordedTable, arguments: argparse.Namespace) -> dict[str, Any]:
    """Means over seeds for every target, and over targets."""
    method: Method
    scores: dict[str, list[Score]] = {target: [] for target in arguments.targets}
    shared: list[float] = []
    for seed in range(arguments.seeds):
        rng = np.random.default_rng([seed, arguments.source_samples])
        rows = np.sort(rng.permutation(len(table.genes))[: arguments.source_samples])
        task = table.task(rows, arguments.sources, seed)
        start = time.perf_counter()
        method = METHODS[name](task)
        chosen = method.choose(arguments.samples)
        shared.append(time.perf_counter() - start)
        if len(set(chosen)) != arguments.samples:
            raise RuntimeError(f"{name} must choose {arguments.samples} distinct archs; got {chosen}")
        for target in arguments.targets:
            scores[target].append(_score(method, chosen, rows, table, target))
    targets = {
        target: {key: float(np.mean([score.metrics[key] for score in found])) for key in METRICS}
        for target, found in scores.items()
    }
    everything = [score for found in scores.values() for score in found]
    return {
        "mean": {key: float(np.mean([row[key] for row in targets.values()])) for key in METRICS},
        "targets": targets,
        "fit_seconds": float(np.mean(shared) + np.mean([score.fit_seconds for score in everything])),
        "predict_seconds_per_million": _seconds_per_million(method, table.genes),
    }


def _score(method: Method, chosen: Sequence[int], rows: IntArray, table: RecordedTable, target: str) -> Score:
    values = table.values(target)
    oracle = Oracle(values[rows], len(chosen))
    start = time.perf_counter()
    method.fit(chosen, oracle.measure(chosen))
    fit_seconds = time.perf_counter() - start
    held_out = np.setdiff1d(np.arange(len(values)), rows[list(chosen)])
    prediction = method.predict(table.genes[held_out])
    return Score(metrics(prediction, values[held_out]), fit_seconds)


def _seconds_per_million(method: Method, genes: IntArray) -> float:
    """Of predicting a million archs: measured on a million if that is quick, else on a small part."""
    seconds = 0.0
    for count in (MILLION // 100, MILLION):
        many = np.resize(genes, (count, genes.shape[1]))
        start = time.perf_counter()
        method.predict(many)
        seconds = (time.perf_counter() - start) * MILLION / count
        if seconds > QUICK_SECONDS:
            return seconds
    return seconds


def metrics(prediction: Prediction, values: FloatArray) -> dict[str, float]:
    """Agreement with the values; a correlation is 0 where the predictions or the values are all equal."""
    error = np.abs(prediction.mean - values) / values
    ranked = np.ptp(prediction.mean) > 0 and np.ptp(values) > 0
    return {
        "spearman": float(spearmanr(prediction.mean, values).statistic) if ranked else 0.0,
        "kendall_tau": float(kendalltau(prediction.mean, values).statistic) if ranked else 0.0,
        "within_5": float((error <= 0.05).mean()),
        "within_10": float((error <= 0.1).mean()),
        "coverage_90": float(((prediction.low <= values) & (values <= prediction.high)).mean()),
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--table", type=Path, required=True, help=".npz with genes, choices, devices, latency_ms"
    )
    parser.add_argument("--sources", type=_names, required=True, help="devices, separated by commas")
    parser.add_argument("--targets", type=_names, required=True, help="devices, separated by commas")
    parser.add_argument("--samples", type=int, default=10, help="measurements of each target")
    parser.add_argument("--source-samples", type=int, default=900, help="archs measured on every source")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--json", type=Path, required=True, help="where to write the result")
    parser.add_argument("--method", choices=[*METHODS, "all"], default=DEFAULT)
    arguments = parser.parse_args()
    if not 1 <= arguments.samples <= arguments.source_samples or arguments.seeds < 1:
        parser.error("--samples must lie in 1..--source-samples, and --seeds be at least 1")
    return arguments


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


if __name__ == "__main__":
    main()
