"""How many evaluations does a searcher need? On recorded tables, where the true front is known.

An evaluation is a distinct arch whose accuracy is looked up. An arch without a path from input to
output, or without a recorded latency, costs an evaluation and gains nothing. Hypervolume: accuracy
linear, latency logarithmic, both scaled to the range of the valid archs, reference = the worst of
each; as a share of the true front's. With free latency a searcher gets the recorded latency of
every arch as its latency predictor; with costly latency it sees only what it asked.

    python -m benchmarks.search_tabular --table nasbench201.npz --dataset cifar10 --devices all \
        --searcher guided --latency free --evaluations 400 --batch 10 --seeds 10 --json OUT
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tabular.external import EXTERNAL
from benchmarks.tabular.run import Run, Setting, run_one
from benchmarks.tabular.summary import LEVELS, summarize
from benchmarks.tabular.task import load_task
from nas.errors import MissingExtraError
from nas.search.registry import SEARCHERS
from searchspaces.errors import TableError
from searchspaces.tables import read_table

SLOW = ("gp",)  # minutes a run: left out of "all", run by name


def main() -> None:
    """Run every (searcher, device, seed), print a line for each searcher, write the JSON."""
    arguments = _parser().parse_args()
    try:
        table = read_table(arguments.table)
        devices = table.devices if arguments.devices == "all" else tuple(arguments.devices.split(","))
        for device in devices:  # a wrong name is found before anything runs
            load_task(arguments.table, arguments.dataset, device)
    except TableError as error:
        sys.exit(f"search_tabular: {error}")
    if arguments.searcher == "all":
        names = [name for name in (*SEARCHERS, *EXTERNAL) if name not in SLOW]
    else:
        names = arguments.searcher.split(",")
    unknown = sorted(set(names) - {*SEARCHERS, *EXTERNAL})
    if unknown:
        sys.exit(
            f"search_tabular: no searcher {unknown[0]!r}; there are {', '.join((*SEARCHERS, *EXTERNAL))}"
        )
    setting = Setting(
        arguments.table, arguments.dataset, arguments.latency, arguments.evaluations, arguments.batch
    )
    found: dict[str, Any] = {}
    for name in names:
        try:
            found[name] = _measure(name, setting, devices, arguments.seeds, arguments.processes)
        except MissingExtraError as error:
            print(f"{name}: skipped: {error}", flush=True)
            continue
        if arguments.json:  # after every searcher: a long comparison that is cut short keeps what it has
            document = {"settings": _settings(arguments, devices), "searchers": found}
            arguments.json.parent.mkdir(parents=True, exist_ok=True)
            arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    if not found:
        sys.exit("search_tabular: no searcher could run")


def _measure(
    name: str, setting: Setting, devices: tuple[str, ...], seeds: int, processes: int
) -> dict[str, Any]:
    """Run one searcher on every device and seed; its part of the JSON."""
    tasks = list(product(devices, range(seeds)))
    work = partial(run_one, name, setting)
    results = []
    with ExitStack() as stack:
        stream: Iterator[Run] = map(work, tasks)
        if processes > 1:
            stream = stack.enter_context(ProcessPoolExecutor(processes)).map(work, tasks)
        for done, ((device, seed), result) in enumerate(zip(tasks, stream, strict=True), 1):
            results.append(result)
            print(
                f"  {name} {done}/{len(tasks)} {device} seed {seed}: {result.curve[-1]:.4f} of the front "
                f"after {len(result.curve)} in {result.cpu_seconds:.1f} s",
                file=sys.stderr,
                flush=True,
            )
    summary = summarize(results)
    medians = [summary["evaluations_to"][level] for level in LEVELS]
    print(
        f"{name:>14}: median evaluations to {' '.join(LEVELS)}: "
        f"{' '.join('-' if m is None else f'{m:g}' for m in medians)}; reached "
        f"{' '.join(format(summary['reached'][level], '.0%') for level in LEVELS)}; "
        f"{summary['cpu_seconds_per_run']:.1f} CPU s a run",
        flush=True,
    )
    return summary


def _settings(arguments: argparse.Namespace, devices: tuple[str, ...]) -> dict[str, Any]:
    return {
        "table": arguments.table.name,
        "dataset": arguments.dataset,
        "devices": list(devices),
        "latency": arguments.latency,
        "evaluations": arguments.evaluations,
        "batch": arguments.batch,
        "seeds": arguments.seeds,
        "numpy": np.__version__,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--dataset", required=True, help="the table's array top1_DATASET")
    parser.add_argument("--devices", default="all", help="names separated by commas")
    parser.add_argument("--searcher", default="guided", help="names separated by commas, or all")
    parser.add_argument("--latency", choices=("free", "costly"), default="free")
    parser.add_argument("--evaluations", type=_positive, default=400)
    parser.add_argument("--batch", type=_positive, default=10)
    parser.add_argument("--seeds", type=_positive, default=10)
    parser.add_argument("--processes", type=_positive, default=1)
    parser.add_argument("--json", type=Path)
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1; got {value}")
    return value


if __name__ == "__main__":
    main()
