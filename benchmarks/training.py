"""Supernet training throughput: subnet-images per second of each mode, side by side.

The modes take turns step by step in one process, so that a drift of the machine meets all of
them alike; the first rounds warm up, medians are reported, and ratios are to the sandwich rule.
A subnet-image is one image seen by one subnet.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nas.data.load import ImageData, load_data
from nas.supernet.config import TrainConfig
from nas.supernet.resize import to_float
from nas.supernet.sampling import sample_subnets
from nas.supernet.supernet import Supernet
from nas.supernet.training.losses import multi_backward, sandwich_backward
from nas.supernet.training.state import TrainingState
from searchspaces.registry import get_space

MODES = {
    "sandwich-4": TrainConfig(mode="sandwich", subnets=4),
    "multi-1": TrainConfig(mode="multi", subnets=1),
    "multi-4": TrainConfig(mode="multi", subnets=4),
    "multi-8": TrainConfig(mode="multi", subnets=8),
}
WARMUP = 2


def main() -> None:
    """Time the modes in turn and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--space", default="hybrid-tiny")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    data = load_data(arguments.data)
    runs = {name: Run(data, arguments.space, config) for name, config in MODES.items()}
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for step in range(WARMUP + arguments.rounds):
        for name, run in runs.items():
            rate = run.step(step)
            if step >= WARMUP:
                rates[name].append(rate)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    rows = [
        {"mode": name, "images_per_s": median, "ratio": median / medians["sandwich-4"]}
        for name, median in medians.items()
    ]
    for row in rows:
        print(f"{row['mode']:12} {row['images_per_s']:8.0f} subnet-images/s   x {row['ratio']:.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


class Run:
    """One mode with its own supernet and optimiser, stepped on random batches."""

    def __init__(self, data: ImageData, space: str, config: TrainConfig) -> None:
        self.config, self.data = config, data
        torch.manual_seed(0)
        self.supernet = Supernet(
            get_space(space), n_classes=data.n_classes, in_channels=data.in_channels
        ).train()
        self.state = TrainingState(self.supernet, config, data_digest="")

    def step(self, step: int) -> float:
        """One optimiser step; its subnet-images per second of wall time."""
        rng = np.random.default_rng([0, step])
        images, labels = self._batch(rng)
        space = self.supernet.space
        archs = sample_subnets(space, self.config, rng, anchors_only=False)
        subnets = [space.decode(arch) for arch in archs]
        backward = sandwich_backward if self.config.mode == "sandwich" else multi_backward
        began = time.perf_counter()
        backward(self.supernet, subnets, images, labels, self.config)
        self.state.update(1e-4)
        seconds = time.perf_counter() - began
        seen = len(labels) * (len(subnets) if self.config.mode == "sandwich" else 1)
        return seen / seconds

    def _batch(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        chosen = rng.choice(len(self.data.train.labels), self.config.batch_size, replace=False)
        images = to_float(torch.from_numpy(self.data.train.images[chosen]))
        return images, torch.from_numpy(self.data.train.labels[chosen])


if __name__ == "__main__":
    main()
