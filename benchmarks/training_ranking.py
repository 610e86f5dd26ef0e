"""Which training mode ranks subnets best? Modes at equal CPU seconds against subnets trained alone.

The truth is the cross-entropy, on validation and test images, of random subnets trained from
scratch, one network each; with ``--table`` it is the recorded error of random rows of a table.
Every mode then trains a supernet with a finished learning-rate schedule in about the same CPU
seconds, for several seeds, and estimates the same subnets after batch-norm recalibration: by
their cross-entropy, because accuracies on small images tie, or by the probes of their layers
(``--metric layer_probe``, nas/evaluate/layer_probe.py), where all subnets have the same layers.
Finished parts are kept in the JSON file, and a second call does what is missing.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import kendalltau, spearmanr

from nas.data.load import ImageData, load_data
from nas.data.types import Split
from nas.evaluate.accuracy import calibration_images
from nas.evaluate.layer_probe import LayerProbeEvaluator
from nas.evaluate.smooth import smoothed
from nas.fidelity.truth import read_truth
from nas.supernet.config import TrainConfig
from nas.supernet.extract import ExtractedSubnet, calibrate, extract_subnet
from nas.supernet.resize import resize, to_float
from nas.supernet.supernet import Supernet
from nas.supernet.train import total_steps, train
from nas.supernet.training.augment import augment
from searchspaces.registry import get_space
from searchspaces.space import Arch, SearchSpace

TREE = TrainConfig(mode="tree", subnets=8)
MODES = {
    "sandwich-4": TrainConfig(mode="sandwich", subnets=4),
    "multi-2": TrainConfig(mode="multi", subnets=2),
    "multi-4": TrainConfig(mode="multi", subnets=4),
    "tree-8": TREE,
    "tree-16": replace(TREE, subnets=16),
    "sandwich-tree-16": TrainConfig(mode="sandwich_tree", subnets=16),
    "sandwich-tree-24": TrainConfig(mode="sandwich_tree", subnets=24),
    "sandwich-tree-24-largest": TrainConfig(mode="sandwich_tree", subnets=24, distill="largest"),
    "tree-8-largest": replace(TREE, distill="largest"),
    "tree-16x2": replace(TREE, subnets=16, trees=2),
    "tree-8-cost": replace(TREE, sampler="cost_balanced"),
    "tree-8-least": replace(TREE, sampler="least_trained"),
    "tree-8-best": replace(TREE, distill="best"),
    "tree-8-drop": replace(TREE, drop_path=0.1),
    "tree-8-m2": TREE,
    "tree-8-m2-by-resolution": TREE,
}
ALONE = TrainConfig(epochs=12, lr=4e-3)
PILOT_STEPS = 8
PROBED = 2000  # training images that probes are fitted on
METRICS = ("cross_entropy", "layer_probe")


def main() -> None:
    """Run what the JSON file lacks, and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--space", default="hybrid-tiny")
    parser.add_argument("--subnets", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=60.0, help="CPU seconds of each training")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--modes", default="sandwich-4,multi-4,tree-8")
    parser.add_argument("--table", type=Path, help="recorded accuracies (.npz) of the space on CIFAR-10")
    parser.add_argument("--images", type=int, help="images that estimates are made of; all if not given")
    parser.add_argument("--metric", choices=METRICS, default="cross_entropy")
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data, space = load_data(arguments.data), get_space(arguments.space)
    done: dict[str, Any] = json.loads(arguments.json.read_text()) if arguments.json.exists() else {}
    if arguments.table:
        known = read_truth(arguments.table, space, subnets=arguments.subnets, seed=0)
        archs, truth = list(known.archs), [1.0 - top1 for top1 in known.top1]
        done["truth"] = truth
    else:
        rng = np.random.default_rng(0)
        archs = [space.sample(rng) for _ in range(arguments.subnets)]
        truth = trained_truth(space, archs, data, done, arguments.json)
    scored = scored_images(data, arguments.images)
    runs = done.setdefault("runs", {})
    for seed in range(arguments.seeds):
        for mode in arguments.modes.split(","):
            if f"{mode}/{seed}" not in runs:
                config = replace(MODES[mode], seed=seed, threads=1)
                copies = re.search("-m[2-8].*", mode)  # the same subnets on several copies of the weights
                trained = get_space(arguments.space + copies[0]) if copies else space
                same = [trained.arch(arch.genes) for arch in archs]
                row = compare(config, trained, data, scored, same, truth, arguments.seconds, arguments.metric)
                runs[f"{mode}/{seed}"] = row
                arguments.json.write_text(json.dumps(done, indent=1))
                print(f"{mode}/{seed}", {k: round(v, 3) for k, v in row.items()}, flush=True)
    summarise(runs)


def trained_truth(
    space: SearchSpace, archs: list[Arch], data: ImageData, done: dict[str, Any], path: Path
) -> list[float]:
    """Cross-entropies of the subnets trained alone; those that the file has are not trained again."""
    truth: list[float] = done.setdefault("truth", [])
    for arch in archs[len(truth) :]:
        truth.append(train_alone(space, arch, data))
        path.write_text(json.dumps(done, indent=1))
        print(f"alone {len(truth)} of {len(archs)}: {truth[-1]:.4f}", flush=True)
    return truth


def scored_images(data: ImageData, limit: int | None) -> Split:
    """The first ``limit`` validation and test images."""
    images = np.concatenate([data.val.images, data.test.images])[:limit]
    return Split(images, np.concatenate([data.val.labels, data.test.labels])[:limit])


def compare(
    config: TrainConfig,
    space: SearchSpace,
    data: ImageData,
    scored: Split,
    archs: list[Arch],
    truth: list[float],
    seconds: float,
    metric: str,
) -> dict[str, float]:
    """Train one supernet in about these CPU seconds and hold its estimates against the truth."""
    per_step = pilot(config, space, data)
    per_epoch = per_step * total_steps(len(data.train.labels), replace(config, epochs=1))
    config = replace(config, epochs=max(1, round(seconds / per_epoch)))
    torch.manual_seed(config.seed)
    supernet = Supernet(space, n_classes=data.n_classes, in_channels=data.in_channels)
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        result = train(supernet, data, config, folder=Path(folder))
    spent = time.process_time() - began
    supernet.eval()
    calibration = calibration_images(data.train)
    scores = [score(extract_subnet(supernet, space.decode(arch)), calibration, scored) for arch in archs]
    losses = [loss for loss, _ in scores]
    if metric == "layer_probe":
        losses = probe_losses(supernet, data, scored, calibration, archs)
    law = smoothed(space, archs, losses)
    return {
        "spearman": float(spearmanr(losses, truth).statistic),
        "kendall_tau": float(kendalltau(losses, truth).statistic),
        "smoothed_spearman": float(spearmanr(law, truth).statistic),
        "smoothed_kendall_tau": float(kendalltau(law, truth).statistic),
        "top1_mean": float(np.mean([top1 for _, top1 in scores])),
        "epochs": config.epochs,
        "steps": result.steps,
        "cpu_s": spent,
        "images_per_cpu_s": result.steps * config.batch_size / spent,
        "subnet_images_per_cpu_s": result.steps * seen_per_step(config) / spent,
    }


def seen_per_step(config: TrainConfig) -> int:
    """Subnet-images of a step: an image counts once for each subnet that sees it."""
    shares = config.subnets if config.mode == "multi" else config.trees
    return config.batch_size * config.subnets // shares


def probe_losses(
    supernet: Supernet, data: ImageData, scored: Split, calibration: list[torch.Tensor], archs: list[Arch]
) -> list[float]:
    """What the layers' probes lack, from the first training images."""
    fitted = Split(data.train.images[:PROBED], data.train.labels[:PROBED])
    evaluator = LayerProbeEvaluator(supernet, fitted, scored, calibration)
    return [-evaluation.values["layer_probe"] for evaluation in evaluator.evaluate(archs)]


def pilot(config: TrainConfig, space: SearchSpace, data: ImageData) -> float:
    """CPU seconds per step, from a few steps of a supernet that is thrown away."""
    supernet = Supernet(space, n_classes=data.n_classes, in_channels=data.in_channels)
    times: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        train(
            supernet,
            data,
            config,
            folder=Path(folder),
            report=lambda _: times.append(time.process_time()),
            should_stop=lambda: len(times) > PILOT_STEPS,
        )
    return (times[-1] - times[0]) / (len(times) - 1)


def train_alone(space: SearchSpace, arch: Arch, data: ImageData) -> float:
    """Cross-entropy of the subnet after training it from scratch, same seed for all."""
    torch.manual_seed(0)
    supernet = Supernet(space, n_classes=data.n_classes, in_channels=data.in_channels).train()
    network = extract_subnet(supernet, space.decode(arch)).requires_grad_(True)
    images, labels = to_float(torch.from_numpy(data.train.images)), torch.from_numpy(data.train.labels)
    steps, size = total_steps(len(labels), ALONE), ALONE.batch_size
    optimizer = torch.optim.AdamW(network.parameters(), betas=(0.9, 0.99), weight_decay=ALONE.weight_decay)
    generator = torch.Generator().manual_seed(0)
    per_epoch = steps // ALONE.epochs
    for step in range(steps):
        if step % per_epoch == 0:
            order = torch.randperm(len(labels), generator=generator)
        chosen = order[(step % per_epoch) * size :][:size]
        batch = resize(augment(images[chosen], "affine", generator), network.resolution)
        loss = F.cross_entropy(network(batch), labels[chosen], label_smoothing=ALONE.label_smoothing)
        optimizer.param_groups[0]["lr"] = ALONE.lr_at(step, steps)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), ALONE.grad_clip)
        optimizer.step()
    return score(network, calibration_images(data.train), scored_images(data, None))[0]


def score(network: ExtractedSubnet, calibration: list[torch.Tensor], scored: Split) -> tuple[float, float]:
    """Cross-entropy and top-1 on the scored images, batch norm recalibrated."""
    calibrate(network, calibration)
    images, labels = to_float(torch.from_numpy(scored.images)), torch.from_numpy(scored.labels)
    with torch.inference_mode():
        logits = network(resize(images, network.resolution))
    return float(F.cross_entropy(logits, labels)), float((logits.argmax(1) == labels).float().mean())


def summarise(runs: dict[str, dict[str, float]]) -> None:
    """Mean and range over the seeds, a line a mode."""
    for mode in dict.fromkeys(key.partition("/")[0] for key in runs):
        rows = [row for key, row in runs.items() if key.partition("/")[0] == mode]
        mean = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
        rho = [row["spearman"] for row in rows]
        print(
            f"{mode:16} Spearman {mean['spearman']:.3f} ({min(rho):.3f} to {max(rho):.3f})  "
            f"tau {mean['kendall_tau']:.3f}  top-1 {mean['top1_mean']:.3f}  "
            f"steps {mean['steps']:.0f}  CPU s {mean['cpu_s']:.0f}"
        )


if __name__ == "__main__":
    main()
