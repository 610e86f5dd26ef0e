"""What both parts share: building, scoring and choosing routes, and results that survive a stop."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from nas.data.load import ImageData
from nas.data.types import Split
from nas.evaluate.accuracy import calibration_images
from nas.supernet.extract import calibrate, extract_subnet, fold
from nas.supernet.resize import resize, to_float
from nas.supernet.supernet import Supernet
from nas.supernet.train import TrainProgress
from searchspaces.cost import cost
from searchspaces.routes import arch_of_route, route_name, route_of
from searchspaces.space import Arch, SearchSpace

BATCH = 250


def fresh(space: SearchSpace, data: ImageData, seed: int) -> Supernet:
    """A supernet with random weights that normalises by the statistics of the training images."""
    images = data.train.images.astype(np.float32) / 255
    mean, std = images.mean(axis=(0, 2, 3)).tolist(), images.std(axis=(0, 2, 3)).tolist()
    torch.manual_seed(seed)
    return Supernet(space, n_classes=data.n_classes, in_channels=data.in_channels, mean=mean, std=std)


def score(supernet: Supernet, arch: Arch, data: ImageData, split: Split) -> dict[str, float]:
    """Top-1 and mean cross-entropy of the extracted, recalibrated, folded subnet on a split."""
    network = extract_subnet(supernet.eval(), supernet.space.decode(arch))
    calibrate(network, calibration_images(data.train))
    network = fold(network)
    images, labels = to_float(torch.from_numpy(split.images)), torch.from_numpy(split.labels)
    correct, loss = 0, 0.0
    with torch.inference_mode():
        for batch, target in zip(images.split(BATCH), labels.split(BATCH), strict=True):
            logits = network(resize(batch, network.resolution))
            correct += int((logits.argmax(1) == target).sum())
            loss += float(F.cross_entropy(logits, target, reduction="sum"))
    return {"top1": correct / len(labels), "cross_entropy": loss / len(labels)}


def anchor_routes(space: SearchSpace) -> dict[str, Arch]:
    """Anchor to the route that stays in it."""
    return {anchor: arch_of_route(space, anchor) for anchor in space.fabric.anchors}


def spread_routes(space: SearchSpace, data: ImageData, n: int) -> list[Arch]:
    """All anchors, and of the other routes every k-th by MACs, so that all costs are held."""
    anchors = list(anchor_routes(space).values())
    others = sorted(
        (arch for arch in space.archs() if arch not in anchors), key=lambda a: macs(space, a, data)
    )
    chosen = np.unique(
        np.linspace(0, len(others) - 1, min(n - len(anchors), len(others))).round().astype(int)
    )
    return [*anchors, *(others[i] for i in chosen)]


def macs(space: SearchSpace, arch: Arch, data: ImageData) -> int:
    """Multiply-adds for one image."""
    return cost(space.decode(arch), in_channels=data.in_channels, n_classes=data.n_classes).macs


def name_of(space: SearchSpace, arch: Arch) -> str:
    """The route as text."""
    return route_name(route_of(space.values(arch)))


def kept(folder: Path, name: str, compute: Callable[[], Any]) -> Any:
    """The JSON result ``folder/name.json``, computed and written if it is not there yet."""
    file = folder / f"{name}.json"
    if not file.exists():
        result = compute()
        folder.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(".tmp")
        temporary.write_text(json.dumps(result))
        temporary.replace(file)
    return json.loads(file.read_text())


def printer(every: int = 200) -> Callable[[TrainProgress], None]:
    """Prints a line of progress now and then."""

    def report(progress: TrainProgress) -> None:
        if progress.step % every == 0:
            print(
                f"{progress.phase}: step {progress.step} of {progress.steps}, loss {progress.loss:.3f}, "
                f"{progress.images_per_s:.0f} images/s, {progress.eta_s / 60:.0f} min left",
                flush=True,
            )

    return report


def print_rows(rows: Sequence[dict[str, Any]]) -> None:
    """One line per row."""
    for row in rows:
        print("  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))
