"""PrefixEvaluator: validation accuracy of many subnets, equal prefixes computed once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from nas.data.types import Split
from nas.errors import ConfigError
from nas.evaluate.accuracy import BATCH
from nas.evaluate.prefix.layers import CalibratedLayers, weight_bytes
from nas.evaluate.prefix.trie import Node, Root, build_tries, prefix_groups
from nas.evaluate.prefix.walk import walk
from nas.supernet.resize import resize, to_float
from nas.supernet.supernet import Supernet
from nas.types import Evaluation
from searchspaces.errors import InvalidArchError
from searchspaces.space import Arch
from searchspaces.subnet import SubnetSpec

MAX_BYTES = 512 * 2**20


class PrefixEvaluator:
    """As SupernetEvaluator, and equal to it bit for bit, for batches of subnets that begin alike.

    The archs of a call are walked as a trie of layers, one for each image resolution: weights,
    batch-norm statistics and outputs of a layer behind the same layers are computed once. Images
    go through it BATCH at a time. ``max_bytes`` bounds what is held at a time beyond the supernet
    and the images: half of it the layers' own weights, half the outputs that later branches start
    from (one subnet's weights, and the output at hand, whatever they take).
    """

    metrics = ("top1",)

    def __init__(
        self,
        supernet: Supernet,
        split: Split,
        calibration: Sequence[Tensor],
        *,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        """``calibration`` are batches of float training images. Raises ConfigError for ``max_bytes`` < 0."""
        if max_bytes < 0:
            raise ConfigError(f"max_bytes must be at least 0; got {max_bytes}")
        self.supernet = supernet
        self.calibration = list(calibration)
        self.images = to_float(torch.from_numpy(split.images))
        self.labels = torch.from_numpy(split.labels)
        self.max_bytes = max_bytes
        self.peak_bytes = 0  # of kept outputs, over all calls so far

    def evaluate(self, archs: Sequence[Arch]) -> list[Evaluation]:
        """One evaluation per arch, in the same order; an arch of another space gets an error."""
        subnets: dict[int, SubnetSpec] = {}
        evaluations = [Evaluation(arch) for arch in archs]
        for index, arch in enumerate(archs):
            try:
                subnets[index] = self.supernet.space.decode(arch)
            except InvalidArchError as error:
                evaluations[index] = Evaluation(arch, error=str(error))
        weigh = partial(weight_bytes, self.supernet)
        alike = sorted(subnets.items(), key=lambda item: archs[item[0]].genes)
        for group in prefix_groups(alike, weigh, self.max_bytes // 2):
            for root in build_tries(group):
                for index, correct in self._correct(root).items():
                    evaluations[index] = Evaluation(archs[index], {"top1": correct / len(self.labels)})
        return evaluations

    def _correct(self, root: Root) -> dict[int, int]:
        """How many images each subnet of a trie classifies correctly."""
        limit = self.max_bytes // 2
        layers = CalibratedLayers(self.supernet, root, self.calibration, limit=limit)
        counts = {index: 0 for node in root.nodes() for index in node.subnets}
        peak = layers.peak_bytes
        with torch.inference_mode():
            for batch, target in zip(self.images.split(BATCH), self.labels.split(BATCH), strict=True):
                tally = partial(_tally, counts, target)
                images = resize(batch, root.resolution)
                peak = max(peak, walk(root, images, run=layers.run, leaf=tally, limit=limit))
        self.peak_bytes = max(self.peak_bytes, peak)
        return counts


def _tally(counts: dict[int, int], target: Tensor, node: Node, logits: Tensor) -> None:
    correct = int((logits.argmax(1) == target).sum())
    for index in node.subnets:
        counts[index] += correct
