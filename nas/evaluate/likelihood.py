"""Estimates that rank subnets: mean log-likelihood beside top-1, from one pass over the images.

The log-likelihood of the right class moves with every image, top-1 only with those near a
decision; on the same images it orders subnets with less noise.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from nas.data.types import Split
from nas.evaluate.accuracy import BATCH
from nas.supernet.extract import ExtractedSubnet, calibrate, extract_subnet, fold
from nas.supernet.resize import resize, to_float
from nas.supernet.supernet import Supernet
from nas.types import Evaluation
from searchspaces.errors import InvalidArchError
from searchspaces.space import Arch


class LikelihoodEvaluator:
    """As SupernetEvaluator, with ``log_likelihood`` (nats per image, at most 0) beside ``top1``."""

    metrics = ("top1", "log_likelihood")

    def __init__(self, supernet: Supernet, split: Split, calibration: Sequence[Tensor]) -> None:
        self.supernet = supernet
        self.calibration = list(calibration)
        self.images = to_float(torch.from_numpy(split.images))
        self.labels = torch.from_numpy(split.labels)

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
        top1, log_likelihood = scores(fold(network), self.images, self.labels)
        return Evaluation(arch, {"top1": top1, "log_likelihood": log_likelihood})


def scores(network: ExtractedSubnet, images: Tensor, labels: Tensor) -> tuple[float, float]:
    """Top-1 and mean log-likelihood of the labels; images (N, C, H, W) in [0, 1]."""
    correct, total = 0, 0.0
    with torch.inference_mode():
        for batch, target in zip(images.split(BATCH), labels.split(BATCH), strict=True):
            logits = network(resize(batch, network.resolution)).float()
            correct += int((logits.argmax(1) == target).sum())
            total -= float(F.cross_entropy(logits, target, reduction="sum"))
    return correct / len(labels), total / len(labels)
