"""Several small anchors out of one large network (Learngene Pool).

Each small anchor learns from the labels, from the teacher's probabilities, and block by block
from the teacher's features through learnable linear maps, which are thrown away afterwards. The
anchors are then stitched and trained together like any others, so that what is stored is a few
small networks instead of the large ones, and what can be extracted starts below them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.data.load import ImageData
from nas.errors import CheckpointError
from nas.evaluate.accuracy import calibration_images
from nas.stitching.fit import stitched_fabric
from nas.stitching.train import Phases, Steps, anchor_of, is_complete, train_stitched
from nas.supernet.config import TrainConfig
from nas.supernet.extract import ExtractedSubnet, calibrate, extract_subnet
from nas.supernet.resize import resize
from nas.supernet.supernet import Supernet
from nas.supernet.train import TrainingRun, TrainProgress, TrainResult
from nas.supernet.training.learner import StepReport
from nas.supernet.training.replica import Replica
from searchspaces.routes import match_cuts
from searchspaces.subnet import BlockSpec, SubnetSpec

FEATURE_WEIGHT = 1.0


def distill_anchors(
    teacher: Supernet,
    supernet: Supernet,
    data: ImageData,
    config: TrainConfig,
    *,
    folder: Path,
    report: Callable[[TrainProgress], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> TrainResult:
    """Distil the anchors of ``supernet`` from the largest subnet of ``teacher``, then stitch them.

    Folders, progress and resuming are those of ``train_stitched``. Raises CheckpointError, which
    names both sides, for a teacher of other images, and AnchorMismatchError for one without a
    resolution that an anchor has too; both before anything is trained.
    """
    for field in ("n_classes", "in_channels"):
        theirs, ours = getattr(teacher, field), getattr(supernet, field)
        if theirs != ours:
            raise CheckpointError(
                f"the teacher, of {teacher.space.id}, has {field} {theirs};"
                f" {supernet.space.id} on {data.name} has {ours}"
            )
    phases = Phases.of(config)
    fabric = stitched_fabric(supernet)
    steps = Steps(phases, len(fabric.anchors), len(data.train.labels))
    taught = teacher.space.decode(teacher.space.extreme(largest=True))
    network = extract_subnet(teacher.eval(), taught)
    calibrate(network, calibration_images(data.train))
    students = {name: anchor_of(supernet, name) for name in fabric.anchors}
    pairs = {name: block_pairs(taught, _only(student)) for name, student in students.items()}
    for i, (name, student) in enumerate(students.items() if phases.anchor else ()):
        assert phases.anchor is not None
        own = folder / "anchors" / name
        if is_complete(own):
            continue
        run = _DistillRun(student, data, phases.anchor, own, network, pairs[name])
        result = run.train(steps.reporter(report, i * steps.anchor, f"anchor {name}"), should_stop)
        if not result.completed:
            return replace(result, step=i * steps.anchor + result.step, steps=steps.total)
    return train_stitched(supernet, data, config, folder=folder, report=report, should_stop=should_stop)


def block_pairs(teacher: SubnetSpec, student: SubnetSpec) -> tuple[tuple[int, int], ...]:
    """(teacher's layer, student's layer) whose outputs are compared: blocks at the same resolution
    and about the same relative depth. Raises AnchorMismatchError if there is no such pair.
    """
    blocks = {"teacher": _blocks(teacher), "anchor": _blocks(student)}
    sizes = {name: [size for _, size in own] for name, own in blocks.items()}
    cuts = match_cuts(sizes)
    ends = {name: [*(cut - 1 for cut in own), len(sizes[name]) - 1] for name, own in cuts.items()}
    return tuple(
        (blocks["teacher"][t][0], blocks["anchor"][s][0])
        for t, s in zip(ends["teacher"], ends["anchor"], strict=True)
        if sizes["teacher"][t] == sizes["anchor"][s]
    )


def _blocks(subnet: SubnetSpec) -> list[tuple[int, int]]:
    """(index, side length in pixels) of every block's output; blocks keep their input's."""
    return [
        (i, size)
        for i, (layer, size) in enumerate(zip(subnet.layers, subnet.sizes, strict=True))
        if isinstance(layer.spec, BlockSpec)
    ]


def _only(supernet: Supernet) -> SubnetSpec:
    return supernet.space.decode(supernet.space.extreme(largest=True))


class DistillLearner:
    """One student against one teacher; ``extra`` holds the maps from the student's features."""

    def __init__(
        self,
        student: Supernet,
        config: TrainConfig,
        *,
        steps: int,
        teacher: ExtractedSubnet,
        pairs: tuple[tuple[int, int], ...],
    ) -> None:
        self.student, self.config, self.steps = student, config, steps
        self.subnet, self.pairs = _only(student), pairs
        self.teacher = teacher.requires_grad_(False).eval()
        with torch.no_grad():
            example = torch.zeros(1, student.in_channels, teacher.resolution, teacher.resolution)
            _, theirs = self._taught(example)
        generator = torch.Generator().manual_seed(config.seed)
        self.extra: nn.Module | None = nn.ParameterDict(
            {str(s): _map(self._width(s), theirs[t].shape[1], generator) for t, s in pairs}
        )

    def step(self, step: int, images: Tensor, labels: Tensor) -> StepReport:
        """See Learner."""
        with torch.no_grad():
            soft, theirs = self._taught(images)
        logits, ours = self._student(images)
        loss = F.cross_entropy(logits, labels, label_smoothing=self.config.label_smoothing)
        loss = loss + F.cross_entropy(logits, soft.softmax(1))
        assert isinstance(self.extra, nn.ParameterDict)
        for t, s in self.pairs:
            weight = self.extra[str(s)]
            mapped = F.conv2d(ours[s], weight[:, :, None, None])
            error = F.mse_loss(mapped, theirs[t]) / theirs[t].var().clamp_min(1e-6)
            loss = loss + FEATURE_WEIGHT / len(self.pairs) * error
        loss.backward()
        return StepReport(float(loss.detach()), len(labels), "distil", self.config.lr_at(step, self.steps))

    def memory(self) -> Mapping[str, Any]:
        """See Learner: nothing."""
        return {}

    def recall(self, memory: Mapping[str, Any]) -> None:
        """See Learner."""

    def _taught(self, images: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        x, features = resize(images, self.teacher.resolution), {}
        for i, layer in enumerate(self.teacher.body):
            x = layer(x)
            features[i] = x
        return x, features

    def _student(self, images: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        x, features = resize(images, self.subnet.resolution), {}
        for i, layer in enumerate(self.subnet.layers):
            x = self.student.block(layer.slot)(x, layer.spec)
            features[i] = x
        return x, features

    def _width(self, layer: int) -> int:
        spec = self.subnet.layers[layer].spec
        return spec.width


def _map(in_width: int, width: int, generator: torch.Generator) -> nn.Parameter:
    return nn.Parameter(torch.randn(width, in_width, generator=generator) / in_width**0.5)


class _DistillRun(TrainingRun):
    """The ordinary run with a DistillLearner."""

    def __init__(
        self,
        student: Supernet,
        data: ImageData,
        config: TrainConfig,
        folder: Path,
        teacher: ExtractedSubnet,
        pairs: tuple[tuple[int, int], ...],
    ) -> None:
        self.taught = teacher, pairs
        super().__init__(student, data, config, folder, Replica())

    def _learner(self) -> DistillLearner:
        teacher, pairs = self.taught
        return DistillLearner(
            self.supernet, self.config, steps=self.steps, teacher=teacher.to(self.device), pairs=pairs
        )
