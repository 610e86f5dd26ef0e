"""Where a search of a million evaluations on a thousand workers would spend its time.

    python -m benchmarks.scale_model --measure evaluation,searchers,databases,ray --postgres URL
    python -m benchmarks.scale_model [--evaluations 1000000] [--evaluate-s 2] [--json OUT]

``--measure`` writes what these steps of a search cost here to ``benchmarks/results/scale/costs.json``;
without it a discrete-event simulation of the search loop runs on those figures and prints one line
for each number of workers and batch size: evaluations per second, the shares of time in which the
workers and the three parts of the driver (asking, storing, calling) are busy, and what limits it.
``--one-commit-each`` stores every evaluation in a transaction of its own, as the loop once did.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.scale.simulate import Costs, Plan, simulate

COSTS = Path(__file__).parent / "results" / "scale" / "costs.json"
WORKERS = (10, 100, 1000)
BATCHES = (20, 200, 1000, 10_000)


def main() -> None:
    """Measure, or simulate and print."""
    arguments = _arguments()
    if arguments.measure:
        _measure(arguments.measure.split(","), arguments.postgres, arguments.costs)
        return
    figures = json.loads(arguments.costs.read_text())
    rows = []
    for searcher in arguments.searcher.split(","):
        costs = costs_of(figures, searcher, arguments.database, arguments.evaluate_s)
        print(f"{searcher}, {arguments.database}, {costs.evaluate_s:.3g} s an evaluation")
        print(f"{'workers':>8} {'batch':>6} {'per s':>8} {'hours':>7} {'busy: workers':>14}", end="")
        print(f" {'asking':>7} {'storing':>8} {'calling':>8}  limit")
        for workers in arguments.workers:
            for batch in arguments.batch:
                plan = Plan(arguments.evaluations, workers, batch, not arguments.one_commit_each)
                rows.append(_row(searcher, costs, plan))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


def _measure(parts: Sequence[str], postgres: str | None, file: Path) -> None:
    """Put the figures of these parts into the file, beside those of others."""
    from benchmarks.scale.measure import measure  # loads torch and Ray, which a simulation needs not

    known = json.loads(file.read_text()) if file.exists() else {}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(known | measure(parts, postgres), indent=1) + "\n")


def costs_of(figures: dict[str, Any], searcher: str, database: str, evaluate_s: float | None) -> Costs:
    """The model's costs from what was measured; ``evaluate_s`` instead of the measured evaluation."""
    asked, stored, calls = figures["searchers"][searcher], figures["databases"][database], figures["ray"]
    return Costs(
        evaluate_s=evaluate_s or figures["evaluation"]["mean_s"],
        evaluate_cv=figures["evaluation"]["cv"],
        call_s=calls["driver_s_per_call"],
        recall_s=stored["recall_s"],
        recall_arch_s=stored["recall_arch_s"],
        call_latency_s=calls["round_trip_s"],
        ask_s=asked["s_per_arch"],
        ask_told_s=asked["s_per_told"],
        start_s=stored["start_s"],
        commit_s=stored["commit_s"],
        finish_s=stored["finish_s"],
    )


def _row(searcher: str, costs: Costs, plan: Plan) -> dict[str, Any]:
    found = simulate(costs, plan)
    hours = found.seconds / 3600
    print(
        f"{plan.workers:8} {plan.batch:6} {found.per_s:8.1f} {hours:7.2f} {found.workers:14.1%}"
        f" {found.asking:7.1%} {found.storing:8.1%} {found.calling:8.1%}  {found.bottleneck}",
        flush=True,
    )
    outcome = {**asdict(found), "limit": found.bottleneck}
    return {"searcher": searcher, "costs": asdict(costs), "plan": asdict(plan), "outcome": outcome}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--measure", metavar="PARTS", help="evaluation,searchers,databases,ray")
    parser.add_argument("--postgres", help="URL of an empty database to measure too")
    parser.add_argument("--costs", type=Path, default=COSTS)
    parser.add_argument("--evaluations", type=int, default=10**6)
    parser.add_argument("--evaluate-s", type=float, help="seconds an evaluation, in place of the measured")
    parser.add_argument("--searcher", default="random")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="postgresql")
    parser.add_argument("--workers", type=int, nargs="+", default=list(WORKERS))
    parser.add_argument("--batch", type=int, nargs="+", default=list(BATCHES))
    parser.add_argument("--one-commit-each", action="store_true")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
