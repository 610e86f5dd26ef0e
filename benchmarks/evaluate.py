"""Subnets per second and memory of the plain and the prefix-sharing evaluator, side by side.

Three kinds of batches, each behind one earlier batch: ``random`` subnets; ``evolved`` ones, the
children that NSGA-II asks for after ``--generations`` batches (accuracy: a seeded sum of
preferences for options; cost: MACs); and ``late`` ones, mutants of one parent that change one to
three active choices of the last third of its chain.

"plain" evaluates the later batch. "prefix" does, having evaluated the earlier one before, which is
not timed; "prefix-cold" has evaluated nothing before; "prefix-2-workers" are two evaluators that
take turns at ``--chunks`` parts of both batches, as the workers of a pool do. An evaluation is what
a search does: extract, recalibrate on 256 images, fold, run on the validation images. Weights are
random, which changes no time. The contenders take turns; the first turn warms up and must give
equal results; medians of CPU seconds of one thread are reported. Memory is the largest number of
bytes of outputs that were kept within a walk or retained for later calls, of all its evaluators.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from nas.data.load import load_data
from nas.data.types import Split
from nas.evaluate.accuracy import SupernetEvaluator, calibration_images
from nas.evaluate.prefix.evaluator import MAX_BYTES, PrefixEvaluator
from nas.search.nsga2 import NSGA2Searcher
from nas.supernet.supernet import Supernet
from nas.types import Direction, Evaluation, Objective
from searchspaces.cost import cost
from searchspaces.registry import get_space
from searchspaces.space import Arch, SearchSpace

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Row:
    """Medians over turns of one contender on batches of one kind; ratios are over "plain" of the kind."""

    archs: str
    evaluator: str
    subnets_per_s: float
    ratio: float
    kept_mib: float
    retained_mib: float


def main() -> None:
    """Measure, print a row each and write JSON."""
    arguments = _arguments()
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    data = load_data(arguments.data)
    space = get_space(arguments.space)
    supernet = Supernet(space, n_classes=data.n_classes, in_channels=data.in_channels).eval()
    calibration = calibration_images(data.train)
    val = Split(data.val.images[: arguments.images], data.val.labels[: arguments.images])

    def prefix() -> PrefixEvaluator:
        return PrefixEvaluator(supernet, val, calibration, max_bytes=arguments.max_mib * MIB)

    plain = SupernetEvaluator(supernet, val, calibration)
    rows = []
    for kind, pairs in populations(space, arguments).items():
        for row in compare(kind, pairs, plain, prefix, arguments):
            rows.append(row)
            print(
                f"{row.archs:8} {row.evaluator:16} {row.subnets_per_s:7.2f} subnets/s  {row.ratio:5.2f}x"
                f"  kept {row.kept_mib:6.1f} MiB  retained {row.retained_mib:6.1f} MiB",
                flush=True,
            )
    if arguments.json:
        settings = {k: v for k, v in vars(arguments).items() if k != "json"}
        settings["n_images"] = len(val.labels)
        settings["resolution"] = int(val.images.shape[2])
        document = {"settings": settings, "rows": [asdict(row) for row in rows]}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--space", default="hybrid-tiny")
    parser.add_argument("--batch", type=int, default=20, help="subnets of a batch")
    parser.add_argument("--batches", type=int, default=2, help="pairs of batches of each kind")
    parser.add_argument("--chunks", type=int, default=4, help="parts of a batch: two for each of two workers")
    parser.add_argument("--images", type=int, default=5000, help="validation images, at most")
    parser.add_argument("--generations", type=int, default=30)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--max-mib", type=int, default=MAX_BYTES // MIB)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


Pair = tuple[list[Arch], list[Arch]]  # the earlier batch, the one that is timed


def populations(space: SearchSpace, arguments: argparse.Namespace) -> dict[str, list[Pair]]:
    """``--batches`` pairs of batches of each kind; the archs of a batch are distinct."""
    rng = np.random.default_rng([arguments.seed, 1])
    n, size = arguments.batches, arguments.batch
    parents = [space.sample(rng) for _ in range(n)]
    return {
        "random": [tuple_of(lambda: distinct(lambda: space.sample(rng), size)) for _ in range(n)],
        "evolved": [evolved(space, size, arguments.generations, arguments.seed + i) for i in range(n)],
        "late": [tuple_of(partial(late_mutants, space, parent, size, rng)) for parent in parents],
    }


def tuple_of(draw: Callable[[], list[Arch]]) -> Pair:
    """Two draws."""
    return draw(), draw()


def distinct(draw: Callable[[], Arch], size: int) -> list[Arch]:
    """The first ``size`` different archs that are drawn, of at most 1000 draws each."""
    archs: dict[Arch, None] = {}
    for _ in range(1000 * size):
        if len(archs) < size:
            archs[draw()] = None
    return list(archs)


def evolved(space: SearchSpace, size: int, generations: int, seed: int) -> Pair:
    """What NSGA-II asks for last and next after some generations of ``size``."""
    objectives = (
        Objective("top1", Direction.MAXIMIZE, 0.0),
        Objective("macs", Direction.MINIMIZE, 1e12),
    )
    searcher = NSGA2Searcher(space, objectives, seed=seed)
    taste = np.random.default_rng([seed, 2]).normal(size=sum(len(c.values) for c in space.choices))
    archs: list[Arch] = []
    for _ in range(generations):
        archs = searcher.ask(size)
        scores = space.encode(archs) @ taste
        macs = [cost(space.decode(arch), in_channels=3, n_classes=10).macs for arch in archs]
        searcher.tell(
            [
                Evaluation(arch, {"top1": float(score), "macs": float(mac)})
                for arch, score, mac in zip(archs, scores, macs, strict=True)
            ]
        )
    return archs, searcher.ask(size)


def late_mutants(space: SearchSpace, parent: Arch, size: int, rng: np.random.Generator) -> list[Arch]:
    """Mutants of one parent in one to three active choices of the last third of its chain."""
    active = [i for i, on in enumerate(space.active(parent.genes)) if on and len(space.choices[i].values) > 1]
    late = active[-max(1, len(active) // 3) :]

    def draw() -> Arch:
        genes = list(parent.genes)
        for i in rng.choice(late, min(len(late), int(rng.integers(1, 4))), replace=False):
            genes[i] = int(rng.integers(len(space.choices[i].values)))
        return space.arch(genes)

    return distinct(draw, size)


def parts(batch: Sequence[Arch], n: int) -> list[list[Arch]]:
    """``n`` parts of the sorted batch, of nearly equal size."""
    cuts = np.array_split(np.arange(len(batch)), n)
    archs = sorted(batch, key=lambda arch: arch.genes)
    return [[archs[i] for i in cut] for cut in cuts if len(cut)]


def compare(
    kind: str,
    pairs: Sequence[Pair],
    plain: SupernetEvaluator,
    make_prefix: Callable[[], PrefixEvaluator],
    arguments: argparse.Namespace,
) -> list[Row]:
    """A row per contender. Raises RuntimeError when one gives other values than "plain"."""
    measured: dict[str, list[Turn]] = {}
    for turn in range(arguments.turns + 1):
        for name, n_workers, n_parts, is_warm in CONTENDERS:
            taken = []
            for earlier, batch in pairs:
                workers = [make_prefix() for _ in range(n_workers)] or [plain]
                split = partial(parts, n=n_parts(arguments.chunks))
                if is_warm:
                    run(workers, split(earlier))
                taken.append(run(workers, split(batch)))
            if turn:
                measured.setdefault(name, []).append(Turn.sum(taken))
    reference = measured["plain"][0]
    if any(turn.values != reference.values for turns in measured.values() for turn in turns):
        raise RuntimeError(f"evaluators differ on {kind} archs")
    median = {name: statistics.median(turn.seconds for turn in turns) for name, turns in measured.items()}
    n = sum(len(batch) for _, batch in pairs)
    return [
        Row(
            kind,
            name,
            n / median[name],
            median["plain"] / median[name],
            max(turn.kept for turn in turns) / MIB,
            max(turn.retained for turn in turns) / MIB,
        )
        for name, turns in measured.items()
    ]


@dataclass(frozen=True, slots=True)
class Turn:
    """CPU seconds, values and bytes of one contender on one or more batches."""

    seconds: float
    values: tuple[float, ...]
    kept: int
    retained: int

    @staticmethod
    def sum(turns: Sequence[Turn]) -> Turn:
        """Seconds added, values joined, the most bytes."""
        return Turn(
            sum(turn.seconds for turn in turns),
            tuple(value for turn in turns for value in turn.values),
            max(turn.kept for turn in turns),
            max(turn.retained for turn in turns),
        )


def run(workers: Sequence[SupernetEvaluator | PrefixEvaluator], work: Sequence[list[Arch]]) -> Turn:
    """Evaluate the parts of a batch, the workers taking turns; values by sorted arch."""
    began = time.process_time()
    found = [e for i, part in enumerate(work) for e in workers[i % len(workers)].evaluate(part)]
    seconds = time.process_time() - began
    prefix = [worker for worker in workers if isinstance(worker, PrefixEvaluator)]
    return Turn(
        seconds,
        tuple(e.values["top1"] for e in sorted(found, key=lambda e: e.arch.genes)),
        sum(worker.peak_bytes for worker in prefix),
        sum(worker.retained_bytes for worker in prefix),
    )


# Name, prefix evaluators, parts of a batch given --chunks, whether the earlier batch was evaluated.
CONTENDERS: tuple[tuple[str, int, Callable[[int], int], bool], ...] = (
    ("plain", 0, lambda _: 1, False),
    ("prefix", 1, lambda _: 1, True),
    ("prefix-cold", 1, lambda _: 1, False),
    ("prefix-2-workers", 2, lambda chunks: chunks, True),
)


if __name__ == "__main__":
    main()
