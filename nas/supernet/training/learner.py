"""Learner: draws the subnets of a step and leaves their gradients behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from nas.supernet.config import TrainConfig
from nas.supernet.resize import resize
from nas.supernet.supernet import Supernet
from nas.supernet.training.draw import draw_groups
from nas.supernet.training.losses import ForestLoss, StepInput
from nas.supernet.training.replica import Replica
from nas.supernet.training.samplers.registry import make_sampler
from nas.supernet.training.teacher import BestTeacher
from searchspaces.space import Arch


@dataclass(frozen=True, slots=True)
class StepReport:
    """``loss`` is the mean over the subnets; ``subnet_images`` counts an image once per subnet.

    ``lr`` is the learning rate that the step is to be made with.
    """

    loss: float
    subnet_images: int
    phase: str
    lr: float


class Learner(Protocol):
    """One way of training. What it remembers between steps is JSON, or a tensor of ``extra``."""

    @property
    def extra(self) -> nn.Module | None:
        """What is trained or kept beside the supernet; parameters that take gradients are trained."""
        ...

    def step(self, step: int, images: Tensor, labels: Tensor) -> StepReport:
        """Set the gradients of step ``step`` from float images (B, C, R, R) and labels (B,)."""
        ...

    def memory(self) -> Mapping[str, Any]:
        """What later steps depend on beside parameters, buffers and the step's number."""
        ...

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Continue from a ``memory``."""
        ...


class ForestLearner:
    """The modes that train with labels, end to end: sandwich, multi and tree."""

    extra = None

    def __init__(self, supernet: Supernet, config: TrainConfig, replica: Replica, *, steps: int) -> None:
        self.supernet, self.config, self.replica, self.steps = supernet, config, replica, steps
        self.anchor_steps = round(config.anchor_fraction * steps)
        self.sampler = make_sampler(supernet, config)
        self.teacher = BestTeacher(supernet.space)
        self.loss = replica.wrap(ForestLoss(supernet, config))

    def step(self, step: int, images: Tensor, labels: Tensor) -> StepReport:
        """See Learner."""
        anchors_only = step < self.anchor_steps
        seed, space = self.config.seed, self.supernet.space
        rng = np.random.default_rng([seed, 2, step])
        groups = draw_groups(space, self.config, self.sampler, rng, anchors_only=anchors_only)[: len(labels)]
        decoded = [[space.decode(arch) for arch in group] for group in groups]
        drop = np.random.default_rng([seed, 7, step, self.replica.rank])
        logits, teacher_loss = self._teach(images, labels)
        total, losses = self.loss(StepInput(images, labels, decoded, logits, int(drop.integers(2**62))))
        total.backward()
        losses = self.replica.mean(losses)
        if self.config.distill == "best":
            self.teacher.update(_flat(groups), losses.tolist(), teacher_loss)
        seen = sum(
            len(part) * len(group)
            for part, group in zip(labels.tensor_split(len(groups)), groups, strict=True)
        )
        phase, lr = "anchors" if anchors_only else "joint", self.config.lr_at(step, self.steps)
        return StepReport(float(losses.mean()), seen * self.replica.world, phase, lr)

    def _teach(self, images: Tensor, labels: Tensor) -> tuple[Tensor | None, float | None]:
        """The best teacher's logits and its loss, if there is one; batch statistics as in training."""
        arch = self.teacher.arch
        if arch is None:
            return None, None
        subnet = self.supernet.space.decode(arch)
        with torch.no_grad():
            logits = self.supernet(resize(images, subnet.resolution), subnet).float()
            loss = torch.nn.functional.cross_entropy(
                logits, labels, label_smoothing=self.config.label_smoothing
            )
        return logits, float(self.replica.mean(loss))

    def memory(self) -> Mapping[str, Any]:
        """See Learner."""
        return {"sampler": dict(self.sampler.memory()), "teacher": dict(self.teacher.memory())}

    def recall(self, memory: Mapping[str, Any]) -> None:
        """See Learner."""
        self.sampler.recall(memory["sampler"])
        self.teacher.recall(memory["teacher"])


def _flat(groups: list[list[Arch]]) -> list[Arch]:
    return [arch for group in groups for arch in group]
