"""Do subnets need their own batch-norm statistics? Shared against recalibrated ones, side by side.

Trains one supernet, then scores the same random subnets with the shared statistics and with
statistics recalibrated on 32 to 512 training images; prints mean accuracy, Spearman against the
largest calibration, and milliseconds per subnet.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr

from nas.data.load import ImageData, load_data
from nas.evaluate.accuracy import calibration_images, top1
from nas.supernet.config import TrainConfig
from nas.supernet.extract import calibrate, extract_subnet, fold
from nas.supernet.resize import to_float
from nas.supernet.supernet import Supernet
from nas.supernet.train import train
from searchspaces.registry import get_space

SIZES = (0, 32, 64, 128, 256, 512)


def main() -> None:
    """Run the comparison and print it as a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--space", default="hybrid-tiny")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--subnets", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    data = load_data(arguments.data)
    supernet = Supernet(get_space(arguments.space), n_classes=data.n_classes, in_channels=data.in_channels)
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(epochs=arguments.epochs, seed=arguments.seed)
        train(supernet, data, config, folder=Path(folder))
    results = {n: score(supernet.eval(), data, n, arguments.subnets, arguments.seed) for n in SIZES}
    reference = results[SIZES[-1]][0]
    rows = [
        {
            "images": n,
            "top1_mean": float(np.mean(scores)),
            "spearman": float(spearmanr(scores, reference).statistic),
            "ms_per_subnet": seconds * 1e3 / arguments.subnets,
        }
        for n, (scores, seconds) in results.items()
    ]
    for row in rows:
        print({key: round(value, 4) for key, value in row.items()})
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


def score(
    supernet: Supernet, data: ImageData, n_images: int, n_subnets: int, seed: int
) -> tuple[list[float], float]:
    """Validation top-1 of each subnet and CPU seconds in all; 0 images means shared statistics."""
    rng = np.random.default_rng(seed)
    images, labels = to_float(torch.from_numpy(data.val.images)), torch.from_numpy(data.val.labels)
    batches = calibration_images(data.train, n=n_images) if n_images else []
    scores, began = [], time.process_time()
    for _ in range(n_subnets):
        network = extract_subnet(supernet, supernet.space.decode(supernet.space.sample(rng)))
        if batches:
            calibrate(network, batches)
        scores.append(top1(fold(network), images, labels))
    return scores, time.process_time() - began


if __name__ == "__main__":
    main()
