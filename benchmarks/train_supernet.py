"""Train a supernet on CIFAR-10 and save it in half precision, as checkpoints/ has them.

Training goes on where it was stopped when started again with the same arguments; --out is
written at the end. Losses go to --log, one JSON line every --log-steps steps.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from nas.data.load import ImageData, load_data
from nas.supernet.checkpoint import load_supernet, save_supernet
from nas.supernet.config import TrainConfig
from nas.supernet.supernet import Supernet
from nas.supernet.train import TrainProgress, train
from searchspaces.registry import get_space

LINE_S = 30.0  # between lines of progress
STATISTICS = 10_000  # training images that mean and standard deviation are taken from


def main() -> None:
    """Train, then save."""
    arguments = _arguments()
    config = TrainConfig(
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        mode=arguments.mode,
        subnets=arguments.subnets,
        lr=arguments.lr,
        amp=arguments.amp,
        threads=1,
        seed=arguments.seed,
    )
    data = load_data(f"cifar10:{arguments.data}")
    torch.manual_seed(config.seed)
    images = data.train.images[:STATISTICS].astype(np.float32) / 255
    mean, std = images.mean((0, 2, 3)).tolist(), images.std((0, 2, 3)).tolist()
    space = get_space(arguments.space)
    supernet = Supernet(space, n_classes=data.n_classes, in_channels=data.in_channels, mean=mean, std=std)
    if arguments.start:
        supernet.load_state_dict(load_supernet(arguments.start).state_dict())
    began = time.process_time()
    train(supernet, data, config, folder=arguments.folder, report=Log(arguments.log, arguments.log_steps))
    save_half(arguments.folder, arguments.out, config, data, arguments.start)
    print(f"done: {time.process_time() - began:.0f} CPU s since this start")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--space", default="nasbench201-c16-n1-r16")
    parser.add_argument("--data", type=Path, required=True, help="folder with CIFAR-10")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--mode", choices=("multi", "sandwich", "tree", "sandwich_tree"), default="multi")
    parser.add_argument("--subnets", type=int, default=2)
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--amp", choices=("auto", "off", "bf16"), default="auto")
    parser.add_argument("--start", type=Path, help="folder of a trained supernet of the space to begin with")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, required=True, help="for the state that resumes training")
    parser.add_argument("--out", type=Path, required=True, help="folder for the finished supernet")
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--log-steps", type=int, default=100)
    return parser.parse_args()


class Log:
    """Appends the mean loss since the line before; says on the terminal where training stands."""

    def __init__(self, path: Path, every: int) -> None:
        self.path, self.every = path, every
        self.losses: list[float] = []
        self.printed = 0.0

    def __call__(self, progress: TrainProgress) -> None:
        """After every step."""
        self.losses.append(progress.loss)
        if progress.step % self.every == 0 or progress.step == progress.steps:
            line = {
                "step": progress.step,
                "loss": round(float(np.mean(self.losses)), 4),
                "lr": progress.lr,
                "images_per_s": round(progress.images_per_s, 1),
            }
            self.losses.clear()
            with self.path.open("a") as file:
                file.write(json.dumps(line) + "\n")
        if time.monotonic() - self.printed > LINE_S:
            self.printed = time.monotonic()
            print(f"{progress.step}/{progress.steps}  {progress.eta_s:.0f} s left", flush=True)


def save_half(folder: Path, out: Path, config: TrainConfig, data: ImageData, start: Path | None) -> None:
    """The supernet in ``folder`` with float16 tensors; loading it gives float32 again."""
    info = {
        "data": "CIFAR-10 (JPEG)",
        "started_from": None
        if start is None
        else json.loads((start / "supernet.json").read_text())["sha256"],
        "data_digest": data.digest,
        "classes": list(data.classes),
        "seed": config.seed,
        "config": {name: value for name, value in asdict(config).items() if name != "seed"},
    }
    save_supernet(out, load_supernet(folder), info=info, dtype=torch.float16)


if __name__ == "__main__":
    main()
