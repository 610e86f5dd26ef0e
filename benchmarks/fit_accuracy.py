"""Make a checkpoint searchable without its data set: calibration images and an accuracy predictor.

Evaluates random subnets of a supernet on validation images, half of them of the cheap side, and fits
the predictor of their top-1. Both go into the checkpoint's folder (``calibration.json``, ``accuracy/``)
or that of ``--out``. With ``--metric likelihood`` the predictor is that of the geometric mean of the
probabilities of the right classes (``likelihood/``), which orders subnets with less noise and from
which accuracies of training alone are predicted (nas/fidelity/alone.py). Every evaluation is written
to ``--log`` as it is done; started again with the same arguments, the script goes on where it was
stopped. Prints the quality on held-out subnets.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.evaluation_log import append_to_log, open_log
from nas.data.load import load_data
from nas.data.types import ImageData, Split
from nas.errors import DataError
from nas.evaluate.accuracy import SupernetEvaluator, calibration_images
from nas.evaluate.likelihood import LikelihoodEvaluator
from nas.supernet.calibration import save_calibration
from nas.supernet.checkpoint import load_supernet, read_checkpoint
from nas.supernet.supernet import Supernet
from predictors.accuracy.predictor import ACCURACY_FOLDER, LIKELIHOOD_FOLDER, AccuracyPredictor
from searchspaces.space import Arch
from service.jobs.profile import sample_archs

LINE_S = 10.0  # between lines of progress


def main() -> None:
    """Evaluate what the log does not hold yet, then fit and save."""
    arguments = _arguments()
    torch.set_num_threads(1)
    supernet = load_supernet(arguments.checkpoint)
    header = read_checkpoint(arguments.checkpoint, "supernet")[1]
    info = header["info"]
    source = f"cifar10:{arguments.data}" if arguments.data.exists() else str(arguments.data)
    data = load_data(source)
    if data.digest != info["data_digest"]:
        raise DataError(f"{source}: its images are not those that {arguments.checkpoint} was trained on")
    calibration = calibration_images(data.train, seed=int(info["seed"]))
    evaluate = METRICS[arguments.metric](supernet, _validation(data, arguments), calibration)
    archs = sample_archs(supernet.space, arguments.subnets, arguments.seed)
    metric = arguments.metric
    done = open_log(arguments.log, _settings(arguments, header), supernet.space, metric=metric)
    began, printed, before = time.monotonic(), 0.0, len(done)
    for index, arch in enumerate(archs):
        if arch not in done:
            done[arch] = evaluate(arch)
            append_to_log(arguments.log, [(arch, done[arch])], metric=metric)
        if time.monotonic() - printed > LINE_S and len(done) > before:
            printed = time.monotonic()
            pace = (printed - began) / (len(done) - before)
            print(f"{index + 1}/{len(archs)}  {pace * (len(archs) - index - 1):.0f} s left", flush=True)
    predictor = AccuracyPredictor(supernet.space, supernet=header["sha256"])
    predictor.fit(archs, np.array([done[arch] for arch in archs]))
    out = arguments.out or arguments.checkpoint
    save_calibration(out, calibration)
    predictor.save(out / FOLDERS[metric])
    assert predictor.quality is not None
    print(json.dumps({"subnets": len(archs), **asdict(predictor.quality)}, indent=1))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder of a trained supernet")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with CIFAR-10, or a source as digits"
    )
    parser.add_argument("--metric", choices=list(METRICS), default="top1")
    parser.add_argument("--subnets", type=int, default=300)
    parser.add_argument("--images", type=int, default=2000, help="validation images of an evaluation")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="default: the checkpoint's own folder")
    parser.add_argument(
        "--log", type=Path, required=True, help="JSONL of the evaluations, which resumes them"
    )
    return parser.parse_args()


def _top1(supernet: Supernet, split: Split, calibration: list[Tensor]) -> Callable[[Arch], float]:
    evaluator = SupernetEvaluator(supernet, split, calibration)
    return lambda arch: evaluator.evaluate([arch])[0].values["top1"]


def _likelihood(supernet: Supernet, split: Split, calibration: list[Tensor]) -> Callable[[Arch], float]:
    evaluator = LikelihoodEvaluator(supernet, split, calibration)
    return lambda arch: math.exp(evaluator.evaluate([arch])[0].values["log_likelihood"])


METRICS = {"top1": _top1, "likelihood": _likelihood}
FOLDERS = {"top1": ACCURACY_FOLDER, "likelihood": LIKELIHOOD_FOLDER}


def _validation(data: ImageData, arguments: argparse.Namespace) -> Split:
    chosen = np.random.default_rng([arguments.seed, 21]).permutation(len(data.val))[: arguments.images]
    return Split(data.val.images[chosen], data.val.labels[chosen])


def _settings(arguments: argparse.Namespace, header: dict[str, Any]) -> dict[str, object]:
    """What an evaluation depends on beside the arch."""
    return {
        "supernet_sha256": header["sha256"],
        "data_sha256": header["info"]["data_digest"],
        "images": arguments.images,
        "seed": arguments.seed,
    }


if __name__ == "__main__":
    main()
