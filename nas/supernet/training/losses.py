"""What the subnets of a step lose: against labels, the largest of them, or the best one so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.supernet.config import TrainConfig
from nas.supernet.supernet import Supernet
from nas.supernet.training.drop_path import DropPath
from nas.supernet.training.forest import run_tree
from searchspaces.subnet import SubnetSpec

BEST_WEIGHT = 0.5  # of the best teacher's soft targets where it knows better


@dataclass(frozen=True, slots=True)
class StepInput:
    """Images (B, C, R, R) in [0, 1], labels (B,), and the subnets of each share of them.

    ``teacher`` (B, n_classes) are detached logits to learn from, if any. ``drop_seed`` starts the
    generator of stochastic depth.
    """

    images: Tensor
    labels: Tensor
    groups: Sequence[Sequence[SubnetSpec]]
    teacher: Tensor | None
    drop_seed: int


class ForestLoss(nn.Module):
    """The loss of a step over all its subnets; a module, so that it can be run on several devices."""

    def __init__(self, supernet: Supernet, config: TrainConfig) -> None:
        super().__init__()
        self.supernet = supernet
        self.config = config

    def forward(self, batch: StepInput) -> tuple[Tensor, Tensor]:
        """The scalar to minimise, and each subnet's detached loss against the labels (K,).

        Every image weighs the same, and so do the subnets that see it.
        """
        n = len(batch.groups)
        teachers = [None] * n if batch.teacher is None else batch.teacher.tensor_split(n)
        drop = self._drop_path(batch.drop_seed)
        totals, hard = [], []
        for subnets, images, labels, teacher in zip(
            batch.groups, batch.images.tensor_split(n), batch.labels.tensor_split(n), teachers, strict=True
        ):
            logits = torch.stack(run_tree(self.supernet, images, subnets, drop)).float()
            per_label = self._against_labels(logits, labels)
            hard.append(per_label.detach().mean(1))
            losses = self._distilled(logits, per_label, labels, teacher)
            totals.append(losses.mean() * (len(labels) / len(batch.labels)))
        return torch.stack(totals).sum(), torch.cat(hard)

    def _against_labels(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy (K, B) of logits (K, B, n_classes)."""
        flat = F.cross_entropy(
            logits.flatten(0, 1),
            labels.repeat(len(logits)),
            label_smoothing=self.config.label_smoothing,
            reduction="none",
        )
        return flat.unflatten(0, (len(logits), -1))

    def _distilled(self, logits: Tensor, hard: Tensor, labels: Tensor, teacher: Tensor | None) -> Tensor:
        if in_place(self.config) and len(logits) > 1:
            # BigNAS, section 3.1: the first, largest subnet learns from labels, the others from it.
            soft = logits[0].detach().softmax(1)
            return torch.cat([hard[:1], _against_soft(logits[1:], soft)])
        if teacher is None:
            return hard
        known = better_teacher(teacher, logits.detach(), labels)
        soft = _against_soft(logits, teacher.softmax(1))
        return torch.where(known, torch.lerp(hard, soft, BEST_WEIGHT), hard)

    def _drop_path(self, seed: int) -> DropPath | None:
        if self.config.drop_path == 0.0:
            return None
        generator = torch.Generator().manual_seed(seed)
        return DropPath(self.supernet.space.fabric.slots(), self.config.drop_path, generator)


def in_place(config: TrainConfig) -> bool:
    """Whether the first subnet of a group teaches the others."""
    return config.distill == "largest" or (config.distill == "auto" and config.mode == "sandwich")


def better_teacher(teacher: Tensor, students: Tensor, labels: Tensor) -> Tensor:
    """Where to learn from the teacher: it is right, and surer of the label than the student.

    Logits (B, n_classes) and (K, B, n_classes), labels (B,); boolean (K, B). What a better model
    does not know is left to the labels (arXiv 2310.17653, section 4.2, with labels at hand).
    """
    index = labels[:, None]
    sure = teacher.log_softmax(1).gather(1, index).squeeze(1)
    students_sure = students.log_softmax(2).gather(2, index.expand(len(students), -1, -1)).squeeze(2)
    return (teacher.argmax(1) == labels) & (sure > students_sure)


def _against_soft(logits: Tensor, soft: Tensor) -> Tensor:
    """Cross-entropy (K, B) of logits (K, B, n_classes) with probabilities (B, n_classes)."""
    return -(soft * logits.log_softmax(2)).sum(2)
