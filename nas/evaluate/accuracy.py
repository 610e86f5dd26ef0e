"""Validation accuracy of subnets with the supernet's weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from nas.data.load import Split
from nas.supernet.extract import ExtractedSubnet, calibrate, extract_subnet, fold
from nas.supernet.resize import resize, to_float
from nas.supernet.supernet import Supernet
from nas.types import Evaluation
from searchspaces.errors import InvalidArchError
from searchspaces.space import Arch

BATCH = 250
CALIBRATION_BATCH = 128


class SupernetEvaluator:
    """Extracts each subnet, recalibrates its batch norms, folds it and runs it on a split.

    What is scored is therefore what would ship. ``calibration`` are training images.
    """

    def __init__(self, supernet: Supernet, split: Split, calibration: Sequence[Tensor]) -> None:
        self.supernet = supernet
        self.calibration = list(calibration)
        self.images = to_float(torch.from_numpy(split.images))
        self.labels = torch.from_numpy(split.labels)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the values."""
        return ("top1",)

    def evaluate(self, archs: Sequence[Arch]) -> list[Evaluation]:
        """One evaluation per arch; an arch of another space gets an error."""
        return [self._evaluate(arch) for arch in archs]

    def _evaluate(self, arch: Arch) -> Evaluation:
        try:
            spec = self.supernet.space.decode(arch)
        except InvalidArchError as error:
            return Evaluation(arch, error=str(error))
        network = extract_subnet(self.supernet, spec)
        calibrate(network, self.calibration)
        return Evaluation(arch, {"top1": top1(fold(network), self.images, self.labels)})


def top1(network: ExtractedSubnet, images: Tensor, labels: Tensor) -> float:
    """Share of images whose largest logit is the label; images (N, C, H, W) in [0, 1]."""
    correct = 0
    with torch.inference_mode():
        for batch, target in zip(images.split(BATCH), labels.split(BATCH), strict=True):
            logits = network(resize(batch, network.resolution))
            correct += int((logits.argmax(1) == target).sum())
    return correct / len(labels)


def calibration_images(split: Split, *, n: int = 256, seed: int = 0) -> list[Tensor]:
    """Batches of float images drawn from the training split without replacement."""
    rng = np.random.default_rng([seed, 5])
    chosen = rng.choice(len(split.labels), min(n, len(split.labels)), replace=False)
    return list(to_float(torch.from_numpy(split.images[chosen])).split(CALIBRATION_BATCH))
