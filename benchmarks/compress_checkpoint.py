"""A supernet's checkpoint with its large weights in eight bits: about half the bytes of float16.

What that costs is shown on ``--subnets`` random subnets: how far their logits for the same images move,
as a share of the logits' standard deviation, and how often the predicted class changes. The
predictor of accuracies belongs to weights: fit it (benchmarks/fit_accuracy.py) to the new checkpoint.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nas.data.load import load_data
from nas.evaluate.accuracy import calibration_images
from nas.supernet.checkpoint import load_supernet, read_checkpoint, save_supernet
from nas.supernet.extract import calibrate, extract_subnet, fold
from nas.supernet.resize import resize, to_float
from nas.supernet.supernet import Supernet
from searchspaces.space import Arch


def main() -> None:
    """Write the checkpoint, then compare both."""
    arguments = _arguments()
    torch.set_num_threads(1)
    before = load_supernet(arguments.checkpoint)
    info = read_checkpoint(arguments.checkpoint, "supernet")[1]["info"]
    save_supernet(arguments.out, before, info=info, dtype=torch.int8)
    after = load_supernet(arguments.out)
    data = load_data(arguments.data)
    calibration = calibration_images(data.train, seed=int(info["seed"]))
    images = to_float(torch.from_numpy(data.val.images[: arguments.images]))
    rng = np.random.default_rng([arguments.seed, 30])
    moved, changed = [], []
    for _ in range(arguments.subnets):
        arch = before.space.sample(rng)
        old, new = (_logits(supernet, arch, calibration, images) for supernet in (before, after))
        moved.append(float((new - old).std() / old.std()))
        changed.append(float((new.argmax(1) != old.argmax(1)).float().mean()))
    for folder in (arguments.checkpoint, arguments.out):
        print(f"{folder}: {sum(file.stat().st_size for file in folder.glob('supernet*'))} bytes")
    print(f"logits move by {np.mean(moved):.2%} of their deviation (at most {max(moved):.2%})")
    print(f"the class changes for {np.mean(changed):.2%} of the images (at most {max(changed):.2%})")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder of a trained supernet")
    parser.add_argument("--out", type=Path, required=True, help="folder for the smaller one")
    parser.add_argument("--data", required=True, help="source of its images, as cifar10:PATH")
    parser.add_argument("--subnets", type=int, default=20)
    parser.add_argument("--images", type=int, default=500, help="validation images")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def _logits(supernet: Supernet, arch: Arch, calibration: list[Tensor], images: Tensor) -> Tensor:
    network = extract_subnet(supernet, supernet.space.decode(arch))
    calibrate(network, calibration)
    with torch.inference_mode():
        return fold(network)(resize(images, network.resolution))


if __name__ == "__main__":
    main()
