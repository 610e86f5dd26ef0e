"""Medians over runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.tabular.run import Run

LEVELS = ("0.90", "0.95", "0.99", "0.995", "0.999")
BUDGETS = (50, 100, 200, 400)
ROUNDING = 1e-12


def summarize(runs: Sequence[Run]) -> dict[str, Any]:
    """Evaluations to each level (null where the median run did not get there), share of runs that
    did, median hypervolume after each budget that was spent, CPU seconds of the searcher per run.
    """
    needed = {level: [_first(run, float(level)) for run in runs] for level in LEVELS}
    medians = {level: float(np.median(values)) for level, values in needed.items()}
    return {
        "evaluations_to": {level: m if math.isfinite(m) else None for level, m in medians.items()},
        "reached": {level: float(np.mean(np.isfinite(values))) for level, values in needed.items()},
        "hypervolume_at": {
            str(budget): float(np.median([run.curve[min(budget, len(run.curve)) - 1] for run in runs]))
            if max(len(run.curve) for run in runs) >= budget
            else None
            for budget in BUDGETS
        },
        "cpu_seconds_per_run": float(np.mean([run.cpu_seconds for run in runs])),
    }


def _first(run: Run, level: float) -> float:
    """How many evaluations the run needed to reach the level; infinite if it did not."""
    reached = np.flatnonzero(run.curve >= level - ROUNDING)
    return float(reached[0] + 1) if len(reached) else math.inf
