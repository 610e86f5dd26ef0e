"""Observe which choices matter in a trained supernet, and write that beside its weights.

Training jobs of the service do so at their end; this is for checkpoints that were trained elsewhere
or before. For ``hybrid-cifar`` it takes 3 % of the CPU time that its training took.

    python -m benchmarks.choice_effects --checkpoint checkpoints/hybrid-cifar --data cifar10:DIR
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from nas.data.load import load_data
from nas.errors import DataError
from nas.evaluate.effects import estimate_effects
from nas.supernet.checkpoint import load_supernet, read_checkpoint

LINE_S = 10.0  # between lines of progress


def main() -> None:
    """Observe, fit and save."""
    arguments = _arguments()
    torch.set_num_threads(1)
    supernet = load_supernet(arguments.checkpoint)
    header = read_checkpoint(arguments.checkpoint, "supernet")[1]
    data = load_data(arguments.data)
    if data.digest != header["info"]["data_digest"]:
        raise DataError(f"{arguments.data}: not the images that {arguments.checkpoint} was trained on")
    began, printed = time.process_time(), time.monotonic()

    def report(done: int, rounds: int) -> None:
        nonlocal printed
        if time.monotonic() - printed > LINE_S:
            printed = time.monotonic()
            print(f"round {done}/{rounds}", flush=True)

    effects = estimate_effects(
        supernet, data.train, digest=header["sha256"], seed=arguments.seed, report=report
    )
    assert effects is not None
    effects.save(arguments.checkpoint)
    print(
        f"{effects.n_subnets} subnets on {effects.n_images} images each: "
        f"{time.process_time() - began:.0f} CPU s"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder of a trained supernet")
    parser.add_argument("--data", required=True, help="what it was trained on: digits, cifar10:DIR, ...")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
