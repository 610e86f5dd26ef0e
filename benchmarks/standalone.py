"""Truth for a space: subnets trained alone, from scratch, one after the other.

The file grows by one run at a time; started again with the same arguments it goes on where it
was stopped (Ctrl-C loses the subnet at hand and no other). Subnets are random, one from each
stratum of the space by MACs. Accuracy is that on all test images.
"""

from __future__ import annotations

import argparse
import signal
import time
from dataclasses import asdict
from pathlib import Path

import torch

from nas.data.load import ImageData, load_data
from nas.fidelity.runs import StandaloneRun, StandaloneRuns, continue_runs, spread_archs
from nas.fidelity.standalone import train_alone
from nas.supernet.config import TrainConfig
from searchspaces.cost import cost
from searchspaces.registry import get_space
from searchspaces.space import Arch, SearchSpace

SHARED = ("epochs", "batch_size", "lr", "weight_decay", "warmup_fraction", "label_smoothing", "grad_clip")
LINE_S = 10.0  # between lines of progress


def main() -> None:
    """Train the subnets that the file does not hold yet."""
    arguments = _arguments()
    torch.set_num_threads(1)
    stop = _stop_on_interrupt()
    space = get_space(arguments.space)
    data = load_data(f"cifar10:{arguments.data}", limit=arguments.images)
    config = TrainConfig(
        epochs=arguments.epochs, batch_size=arguments.batch_size, lr=arguments.lr, seed=arguments.seed
    )
    settings = asdict(config)
    recipe = {
        "data": "CIFAR-10",
        "train_images": len(data.train),
        "test_images": len(data.test),
        "seed": arguments.seed,
        **{name: settings[name] for name in SHARED},
    }
    runs = continue_runs(arguments.json, space, recipe)
    archs = spread_archs(
        space, arguments.subnets, in_channels=data.in_channels, n_classes=data.n_classes, seed=arguments.seed
    )
    for index, arch in enumerate(archs):
        if arch.key in {run.arch for run in runs.runs}:
            continue
        run = _run(space, arch, data, config, f"subnet {index + 1}/{len(archs)}", stop)
        if run is None:
            break
        runs = runs.with_run(run)
        runs.save(arguments.json)
    _summary(runs, len(archs))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--space", default="hybrid-cifar")
    parser.add_argument("--data", type=Path, required=True, help="folder with CIFAR-10")
    parser.add_argument("--subnets", type=int, default=36)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--images", type=int, default=12_000, help="training images")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, required=True)
    return parser.parse_args()


def _stop_on_interrupt() -> list[bool]:
    """A list that is not empty any more once the process has been asked to stop."""
    flag: list[bool] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: flag.append(True))
    return flag


def _run(
    space: SearchSpace, arch: Arch, data: ImageData, config: TrainConfig, label: str, stop: list[bool]
) -> StandaloneRun | None:
    spec = space.decode(arch)
    costs = cost(spec, in_channels=data.in_channels, n_classes=data.n_classes)
    printed = time.monotonic()

    def report(step: int, steps: int) -> None:
        nonlocal printed
        if time.monotonic() - printed > LINE_S:
            printed = time.monotonic()
            print(f"{label}: step {step}/{steps}", flush=True)

    found = train_alone(spec, data, config, report=report, should_stop=lambda: bool(stop))
    if found is None:
        return None
    print(
        f"{label}: top1 {found.top1:.4f}, {costs.macs / 1e6:.1f} MMACs, {found.cpu_seconds:.0f} CPU s",
        flush=True,
    )
    return StandaloneRun(
        arch=arch.key,
        genes=arch.genes,
        top1=found.top1,
        cpu_seconds=round(found.cpu_seconds, 1),
        params=costs.params,
        macs=costs.macs,
        depth=len(spec.blocks),
    )


def _summary(runs: StandaloneRuns, wanted: int) -> None:
    done = [run.top1 for run in runs.runs]
    print(f"{len(done)} of {wanted} subnets done")
    if done:
        print(f"top1 from {min(done):.4f} to {max(done):.4f}, mean {sum(done) / len(done):.4f}")


if __name__ == "__main__":
    main()
