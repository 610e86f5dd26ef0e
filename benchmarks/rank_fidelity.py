"""Whether a supernet ranks subnets as training each of them alone does.

Estimates of random subnets of a recorded table (or of the subnets of a JSON of runs that
benchmarks/standalone.py wrote) against their true accuracies, beside proxies that need no
training. Estimates come from the supernet alone: weights, batch norms recalibrated on 256
training images; mean log-likelihood or top-1 on validation images, top-1 as the checkpoint's
accuracy predictor has it (fitted to other subnets of the supernet), or linear probes of the stages
or of every layer, fitted on training images (nas/evaluate/probe.py, layer_probe.py). ``--smooth``
fits a law to the estimates (nas/evaluate/smooth.py). Or, ``--metric standalone_top1``, they come
from that predictor and other subnets of the supernet that were trained alone, where the checkpoint
carries some (nas/fidelity/alone.py). Nothing is fitted to the truth.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.fidelity_estimates import (
    METRIC,
    METRICS,
    PREDICTIONS,
    PROBES,
    STANDALONE,
    checkpoint_folder,
    default_metric,
    estimate,
    random_images,
    require_other_subnets,
)
from nas.data.load import load_data
from nas.data.types import ImageData
from nas.errors import CheckpointError
from nas.fidelity.report import FidelityReport
from nas.fidelity.truth import read_truth
from nas.supernet.checkpoint import load_supernet
from nas.supernet.config import TrainConfig
from nas.supernet.supernet import Supernet
from nas.supernet.train import TrainProgress, total_steps, train
from searchspaces.registry import get_space
from searchspaces.space import SearchSpace

TRAINED_AS = {  # of each space the form that a CPU trains in minutes: same genes, cheaper networks
    "nats-size": "nats-size-d4-r16",
    "nasbench201": "nasbench201-c16-n1-r16",
    "hybrid": "hybrid-cifar",
}
RUNS = Path(__file__).parent / "results" / "hybrid_standalone.json"
LINE_S = 10.0  # between lines of progress
PROBE_STEPS = 20  # steps that tell how fast training is here


def main() -> None:
    """Load or train a supernet, estimate the subnets, print the report and write it."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    path = arguments.truth if arguments.space == "hybrid" else arguments.table
    trained = None if arguments.checkpoint is None else load_supernet(checkpoint_folder(arguments.checkpoint))
    space = get_space(TRAINED_AS[arguments.space]) if trained is None else trained.space
    require_same_choices(space, get_space(TRAINED_AS[arguments.space]))
    truth = read_truth(path, space, subnets=arguments.subnets, seed=arguments.seed)
    data = load_data(f"cifar10:{arguments.data}")
    supernet = trained or train_for(space, data, arguments.train, arguments.threads)
    if arguments.metric == STANDALONE:
        require_other_subnets(arguments.checkpoint, truth, space)
    report = estimate(supernet, data, truth, arguments, Progress().evaluate)
    show(report)
    if arguments.json:
        arguments.json.write_text(json.dumps(document(report, arguments.space), indent=1) + "\n")
    if arguments.report:
        arguments.report.write_text(report.to_json())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--space", choices=list(TRAINED_AS), required=True)
    parser.add_argument("--table", type=Path, help="recorded accuracies (.npz), for the recorded spaces")
    parser.add_argument("--truth", type=Path, default=RUNS, help="subnets trained alone, for hybrid")
    parser.add_argument("--data", type=Path, required=True, help="folder with CIFAR-10")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--checkpoint", type=Path, help="a folder, or its supernet.json or .safetensors")
    source.add_argument("--train", type=float, metavar="MINUTES", help="train one for so long")
    parser.add_argument("--subnets", type=int, default=500)
    parser.add_argument("--images", type=int, default=1000, help="validation images")
    parser.add_argument("--metric", choices=METRICS, help=f"default: {METRIC}; {STANDALONE} if it can be")
    parser.add_argument("--smooth", action=argparse.BooleanOptionalAction, help="default: for probes")
    parser.add_argument("--seed", type=int, default=0, help="decides subnets, images and intervals")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--report", type=Path, help="for the report as a supernet's folder has it: fidelity.json"
    )
    arguments = parser.parse_args()
    if arguments.space != "hybrid" and arguments.table is None:
        parser.error(f"--space {arguments.space} needs --table FILE.npz")
    arguments.metric = arguments.metric or default_metric(arguments)
    if arguments.metric in PREDICTIONS and arguments.checkpoint is None:
        parser.error(
            f"--metric {arguments.metric} needs --checkpoint: what is trained here carries no predictor"
        )
    if arguments.smooth is None:
        arguments.smooth = arguments.metric in PROBES
    if arguments.train is not None and not arguments.train > 0:
        parser.error(f"--train must be a positive number of minutes; got {arguments.train:g}")
    return arguments


def require_same_choices(found: SearchSpace, wanted: SearchSpace) -> None:
    """Raise CheckpointError, naming both, unless archs of one space are archs of the other."""
    if found.choices != wanted.choices:
        raise CheckpointError(
            f"the checkpoint is of space {found.id}, whose choices are not those of {wanted.id}"
        )


def train_for(space: SearchSpace, data: ImageData, minutes: float, threads: int) -> Supernet:
    """A supernet trained for about so long: a first probe of the speed decides how many epochs fit.

    What is left of an epoch is taken from the images, so that short times work too.
    """
    began = time.monotonic()
    probe = TrainConfig(epochs=1, threads=threads)
    speed = _train(space, random_images(data, PROBE_STEPS * probe.batch_size), probe)[1]
    seconds = 60 * minutes - (time.monotonic() - began)
    affordable = max(TrainConfig().batch_size, round(max(seconds, 1.0) * speed))
    images = len(data.train)
    epochs = max(1, affordable // images)
    config = TrainConfig(epochs=epochs, threads=threads)
    chosen = random_images(data, min(images, affordable // epochs))
    print(
        f"training {space.id}: {total_steps(len(chosen.train), config)} steps, {speed:.0f} images/s",
        flush=True,
    )
    return _train(space, chosen, config)[0]


def _train(space: SearchSpace, data: ImageData, config: TrainConfig) -> tuple[Supernet, float]:
    """The supernet in eval mode and its images per second."""
    torch.manual_seed(config.seed)
    images = data.train.images[:10_000].astype(np.float32) / 255
    mean, std = images.mean((0, 2, 3)).tolist(), images.std((0, 2, 3)).tolist()
    supernet = Supernet(space, n_classes=data.n_classes, in_channels=data.in_channels, mean=mean, std=std)
    progress = Progress()
    with tempfile.TemporaryDirectory() as folder:
        result = train(supernet, data, config, folder=Path(folder), report=progress.train)
    return supernet.cpu().eval(), result.images_per_s


class Progress:
    """Lines of progress, one every LINE_S seconds."""

    def __init__(self) -> None:
        self.began = self.printed = time.monotonic()

    def train(self, progress: TrainProgress) -> None:
        """After a step of training."""
        loss = f"loss {progress.loss:.3f}, {progress.eta_s:.0f} s left"
        self._print(f"train {progress.step}/{progress.steps}  {loss}")

    def evaluate(self, done: int, total: int) -> None:
        """After some subnets."""
        elapsed = time.monotonic() - self.began
        left = elapsed / done * (total - done) if done else 0.0
        self._print(f"evaluate {done}/{total}  {left:.0f} s left")

    def _print(self, text: str) -> None:
        if time.monotonic() - self.printed >= LINE_S:
            self.printed = time.monotonic()
            print(text, flush=True)


def show(report: FidelityReport) -> None:
    """The supernet's row of the table, then the proxies'."""
    print(f"\n{report.space}, {report.subnets} subnets, {report.metric}; truth: {report.truth}")
    print(f"{'':24}{'Spearman':>10}{'':18}{'Kendall':>10}")
    ends = report.interval
    print(
        f"{'supernet':24}{report.spearman:10.3f}  [{ends.spearman[0]:.3f}, {ends.spearman[1]:.3f}]"
        f"{report.kendall_tau:10.3f}  [{ends.kendall_tau[0]:.3f}, {ends.kendall_tau[1]:.3f}]"
    )
    for name, agreement in report.proxies.items():
        print(f"{name:24}{agreement.spearman:10.3f}{'':18}{agreement.kendall_tau:8.3f}")
    print(f"regret of the top choice: {report.top_regret:.4f}")


def document(report: FidelityReport, space: str) -> dict[str, Any]:
    """What the JSON file holds."""
    values = report.to_dict()
    kept = ("subnets", "spearman", "kendall_tau", "interval", "top_regret", "proxies")
    return {"space": space, **{name: values[name] for name in kept}}


if __name__ == "__main__":
    main()
