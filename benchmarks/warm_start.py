"""What a study gains by learning from an earlier one, on recorded accuracies and latencies.

    python -m benchmarks.warm_start --table FILE.npz --from pixel3 --to gold_6240 [--json OUT]

An earlier study of ``--earlier`` evaluations searched for the device ``--from``, by ``random`` or by
``guided``. Then ``guided`` searches for the device ``--to`` in batches of ten, cold or having learned from
the earlier study, whose accuracies it knows and whose archs count as asked only once it asks them.
Printed are medians over seeds of the share of the true hypervolume after 10, 20, ... evaluations; the
metric is that of ``benchmarks.search_tabular``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.tabular.task import RecordedLatency, Task, load_task
from nas.pareto import hypervolume
from nas.search.guided.searcher import GuidedSearcher
from nas.search.knowledge import Knowledge
from nas.search.random import RandomSearcher
from nas.types import Evaluation

BATCH = 10
REFERENCE = np.ones(2)


def main() -> None:
    """Search cold and warm with each seed, print medians and write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--from", dest="source", required=True)
    parser.add_argument("--to", dest="target", required=True)
    parser.add_argument("--earlier", type=int, default=60)
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    source = load_task(arguments.table, arguments.dataset, arguments.source)
    target = load_task(arguments.table, arguments.dataset, arguments.target)
    random = RandomSearcher(source.space, source.objectives, seed=1).ask(arguments.earlier)
    earlier = {
        "cold": [],
        "after random": source.evaluate(random),
        "after guided": guided(source, [], 9, arguments.earlier // BATCH),
    }
    rows = {}
    for name, learned in earlier.items():
        runs = [shares(target, guided(target, learned, s, arguments.batches)) for s in range(arguments.seeds)]
        rows[name] = np.median(runs, axis=0).round(4).tolist()
        print(f"{name:13}", *(f"{share:.4f}" for share in rows[name]), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


def guided(task: Task, learned: Sequence[Evaluation], seed: int, batches: int) -> list[Evaluation]:
    """The evaluations of a study by ``guided`` that knows latencies and learned from earlier ones."""
    known = Knowledge({"latency_ms": RecordedLatency(task)}, learned)
    searcher = GuidedSearcher(task.space, task.objectives, known=known, seed=seed)
    found: list[Evaluation] = []
    for _ in range(batches):
        evaluations = task.evaluate(searcher.ask(BATCH))
        searcher.tell(evaluations)
        found += evaluations
    return found


def shares(task: Task, found: Sequence[Evaluation]) -> list[float]:
    """Of the true hypervolume, after each batch."""
    whole = hypervolume(task.points(np.flatnonzero(task.valid).tolist()), REFERENCE)
    rows = [[task.row[e.arch] for e in found[:n] if e.error is None] for n in _ends(found)]
    return [hypervolume(task.points(part), REFERENCE) / whole for part in rows]


def _ends(found: Sequence[Evaluation]) -> range:
    return range(BATCH, len(found) + 1, BATCH)


if __name__ == "__main__":
    main()
