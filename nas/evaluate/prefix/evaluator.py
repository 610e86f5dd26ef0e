"""PrefixEvaluator: validation accuracy of many subnets, equal prefixes computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from nas.data.types import Split
from nas.errors import ConfigError
from nas.evaluate.accuracy import BATCH
from nas.evaluate.prefix.layers import CalibratedLayers, weight_bytes
from nas.evaluate.prefix.trie import Node, Root, build_tries, prefix_groups, prune
from nas.evaluate.prefix.walk import walk
from nas.supernet.resize import resize, to_float
from nas.supernet.supernet import Supernet
from nas.types import Evaluation
from searchspaces.errors import InvalidArchError
from searchspaces.space import Arch
from searchspaces.subnet import SubnetSpec

MAX_BYTES = 512 * 2**20


@dataclass(frozen=True, slots=True)
class Tally:
    """``correct`` of the ``seen`` images were classified right."""

    correct: int
    seen: int


IsHopeless = Callable[[int, Tally], bool]


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
        return [
            Evaluation(arch, error=found)
            if isinstance(found, str)
            else Evaluation(arch, {"top1": found.correct / found.seen})
            for arch, found in zip(archs, self.tallies(archs), strict=True)
        ]

    def tallies(self, archs: Sequence[Arch], is_hopeless: IsHopeless | None = None) -> list[Tally | str]:
        """What each arch got right, in the same order, or why it cannot be decoded.

        After each BATCH of images but the last, ``is_hopeless`` is asked about every arch by its
        index; where it says yes, the arch sees no more images.
        """
        found: dict[int, Tally | str] = {}
        subnets: dict[int, SubnetSpec] = {}
        for index, arch in enumerate(archs):
            try:
                subnets[index] = self.supernet.space.decode(arch)
            except InvalidArchError as error:
                found[index] = str(error)
        weigh = partial(weight_bytes, self.supernet)
        alike = sorted(subnets.items(), key=lambda item: archs[item[0]].genes)
        for group in prefix_groups(alike, weigh, self.max_bytes // 2):
            for root in build_tries(group):
                found |= self._tallies(root, is_hopeless)
        return [found[index] for index in range(len(archs))]

    def _tallies(self, root: Root, is_hopeless: IsHopeless | None) -> dict[int, Tally]:
        limit = self.max_bytes // 2
        layers = CalibratedLayers(self.supernet, root, self.calibration, limit=limit)
        tallies = {index: Tally(0, 0) for node in root.nodes() for index in node.subnets}
        running = set(tallies)
        peak = layers.peak_bytes
        with torch.inference_mode():
            for batch, target in zip(self.images.split(BATCH), self.labels.split(BATCH), strict=True):
                if not root.children:
                    break
                count = partial(_count, tallies, target)
                images = resize(batch, root.resolution)
                peak = max(peak, walk(root, images, run=layers.run, leaf=count, limit=limit))
                if is_hopeless is not None and any(tallies[i].seen < len(self.labels) for i in running):
                    running = {i for i in running if not is_hopeless(i, tallies[i])}
                    prune(root, running)
        self.peak_bytes = max(self.peak_bytes, peak)
        return tallies


def _count(tallies: dict[int, Tally], target: Tensor, node: Node, logits: Tensor) -> None:
    correct = int((logits.argmax(1) == target).sum())
    for index in node.subnets:
        tally = tallies[index]
        tallies[index] = Tally(tally.correct + correct, tally.seen + len(target))
