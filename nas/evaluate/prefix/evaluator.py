"""PrefixEvaluator: validation accuracy of many subnets, equal prefixes computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from nas.data.types import Split
from nas.errors import ConfigError
from nas.evaluate.accuracy import BATCH
from nas.evaluate.prefix.layers import CalibratedLayers, weight_bytes
from nas.evaluate.prefix.retained import Outputs, Prefix, Recorder, Retained
from nas.evaluate.prefix.trie import Node, Root, build_tries, prefix_groups, prune
from nas.evaluate.prefix.walk import walk
from nas.supernet.resize import resize, to_float
from nas.supernet.supernet import Supernet
from nas.types import Evaluation
from searchspaces.errors import InvalidArchError
from searchspaces.space import Arch
from searchspaces.subnet import SubnetSpec

MAX_BYTES = 2**30


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
    go through it BATCH at a time. Outputs of prefixes are retained for the calls that follow, until
    a weight of the supernet changes.

    ``max_bytes`` bounds what is held at a time beyond the supernet, the images, one subnet's
    weights and the output at hand: a quarter of it the layers' own weights, a quarter outputs that
    later branches of the walk start from, a quarter what is retained, and as much again while it
    is replaced. With 0 nothing is shared between subnets.
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
        self._retained = Retained(max_bytes // 4)
        self._versions = _versions(supernet)
        self._n_images = len(split.labels) + sum(len(batch) for batch in self.calibration)

    @property
    def retained_bytes(self) -> int:
        """What is retained for later calls at present."""
        return self._retained.nbytes

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
        if self._versions != (versions := _versions(self.supernet)):
            self._versions, self._retained = versions, Retained(self.max_bytes // 4)
        found: dict[int, Tally | str] = {}
        subnets: dict[int, SubnetSpec] = {}
        for index, arch in enumerate(archs):
            try:
                subnets[index] = self.supernet.space.decode(arch)
            except InvalidArchError as error:
                found[index] = str(error)
        weigh = partial(weight_bytes, self.supernet)
        alike = sorted(subnets.items(), key=lambda item: archs[item[0]].genes)
        for group in prefix_groups(alike, weigh, self.max_bytes // 4):
            found |= self._group(group, is_hopeless)
        return [found[index] for index in range(len(archs))]

    def _group(
        self, group: Sequence[tuple[int, SubnetSpec]], is_hopeless: IsHopeless | None
    ) -> dict[int, Tally]:
        roots = build_tries(group, self._retained.n_known)
        starts = [self._start(root) for root in roots]  # held: retaining more may push them out
        recorded: dict[Prefix, Outputs] = {}
        found: dict[int, Tally] = {}
        spare = self._retained.limit if is_hopeless is None else 0  # nothing is whole of what was dropped
        for root, start in zip(roots, starts, strict=True):
            recorder = Recorder(root, self._n_images, spare)
            found |= self._tallies(root, start, recorder, is_hopeless)
            recorded |= recorder.outputs()
            spare -= sum(outputs.nbytes for outputs in recorder.outputs().values())
        self._retained.add(recorded)
        return found

    def _start(self, root: Root) -> tuple[Iterable[Tensor], Iterable[Tensor]]:
        """What the root's children take: batches for calibration, and of the validation images."""
        if root.prefix:
            outputs = self._retained.outputs(root.resolution, root.prefix)
            return outputs.calibration, outputs.validation
        batches = self.images.split(BATCH)
        return (
            (resize(batch, root.resolution) for batch in self.calibration),
            (resize(batch, root.resolution) for batch in batches),
        )

    def _tallies(
        self,
        root: Root,
        start: tuple[Iterable[Tensor], Iterable[Tensor]],
        recorder: Recorder,
        is_hopeless: IsHopeless | None,
    ) -> dict[int, Tally]:
        limit = self.max_bytes // 4
        layers = CalibratedLayers(self.supernet, root, start[0], observe=recorder.calibration, limit=limit)
        tallies = {index: Tally(0, 0) for node in root.nodes() for index in node.subnets}
        running = set(tallies)
        peak = layers.peak_bytes
        with torch.inference_mode():
            for batch, target in zip(start[1], self.labels.split(BATCH), strict=True):
                if not root.children:
                    break
                count = partial(_count, tallies, target)
                run = recorder.validation(layers.run)
                peak = max(peak, walk(root, batch, run=run, leaf=count, limit=limit))
                if is_hopeless is not None and any(tallies[i].seen < len(self.labels) for i in running):
                    running = {i for i in running if not is_hopeless(i, tallies[i])}
                    prune(root, running)
        self.peak_bytes = max(self.peak_bytes, peak)
        return tallies


def _versions(supernet: Supernet) -> tuple[int, ...]:
    """Changes whenever a weight or statistic is written to, which makes retained outputs worthless."""
    return tuple(tensor._version for tensor in (*supernet.parameters(), *supernet.buffers()))


def _count(tallies: dict[int, Tally], target: Tensor, node: Node, logits: Tensor) -> None:
    correct = int((logits.argmax(1) == target).sum())
    for index in node.subnets:
        tally = tallies[index]
        tallies[index] = Tally(tally.correct + correct, tally.seen + len(target))
