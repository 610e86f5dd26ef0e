"""Supernet training throughput: subnet-images per second of each mode, side by side.

The modes take turns step by step in one process, so that a drift of the machine meets all of
them alike; the first rounds warm up, and the sums over all rounds are reported, as ratios to the
sandwich rule. A subnet-image is one image whose logits and loss gradient one subnet contributed;
it counts once for each subnet, also where several share computation. CPU seconds are the process's.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nas.data.load import ImageData, load_data
from nas.supernet.config import TrainConfig
from nas.supernet.resize import to_float
from nas.supernet.supernet import Supernet
from nas.supernet.training.learner import ForestLearner
from nas.supernet.training.replica import Replica
from nas.supernet.training.state import TrainingState
from searchspaces.registry import get_space

BASE = "sandwich-4"
MODES = {
    BASE: TrainConfig(mode="sandwich", subnets=4),
    "multi-1": TrainConfig(mode="multi", subnets=1),
    "multi-4": TrainConfig(mode="multi", subnets=4),
    "multi-8": TrainConfig(mode="multi", subnets=8),
    "tree-4": TrainConfig(mode="tree", subnets=4),
    "tree-8": TrainConfig(mode="tree", subnets=8),
    "tree-16x2": TrainConfig(mode="tree", subnets=16, trees=2),
    "sandwich-tree-10": TrainConfig(mode="sandwich_tree", subnets=10),
    "sandwich-tree-16": TrainConfig(mode="sandwich_tree", subnets=16),
    "tree-32x4": TrainConfig(mode="tree", subnets=32, trees=4),
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
    totals = {name: np.zeros(2) for name in runs}  # subnet-images, CPU seconds
    for step in range(WARMUP + arguments.rounds):
        for name, run in runs.items():
            counted = run.step(step)
            if step >= WARMUP:
                totals[name] += counted
    rates = {name: float(images / seconds) for name, (images, seconds) in totals.items()}
    rows = [
        {"mode": name, "images_per_cpu_s": rate, "ratio": rate / rates[BASE]} for name, rate in rates.items()
    ]
    for row in rows:
        print(f"{row['mode']:16} {row['images_per_cpu_s']:8.0f} subnet-images/CPU s   x {row['ratio']:.2f}")
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
        self.learner = ForestLearner(self.supernet, config, Replica(), steps=100)

    def step(self, step: int) -> tuple[int, float]:
        """One optimiser step; its subnet-images and the CPU seconds that it took."""
        images, labels = self._batch(np.random.default_rng([0, step]))
        began = time.process_time()
        done = self.learner.step(step, images, labels)
        self.state.update(1e-4)
        return done.subnet_images, time.process_time() - began

    def _batch(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        chosen = rng.choice(len(self.data.train.labels), self.config.batch_size, replace=False)
        images = to_float(torch.from_numpy(self.data.train.images[chosen]))
        return images, torch.from_numpy(self.data.train.labels[chosen])


if __name__ == "__main__":
    main()
