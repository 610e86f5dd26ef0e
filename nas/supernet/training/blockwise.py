"""Train stage by stage without labels, then the head with labels (BossNAS, arXiv 2103.12424).

In the phase of a stage, several paths through it start from the same features and predict, each
from one view of the images, what a slowly following copy of the supernet makes of another view,
averaged over the same paths: the ensemble teaches its members (section 3.2). The share of the
weights that a step trains is then small, which makes the ranking more faithful. The projections
are batch-normalised before the softmax, so that the constant answer is never the best one.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.supernet.config import TrainConfig
from nas.supernet.resize import resize
from nas.supernet.supernet import Supernet
from nas.supernet.training.augment import augment
from nas.supernet.training.forest import run_paths
from nas.supernet.training.learner import StepReport
from nas.supernet.training.replica import Replica
from nas.supernet.training.samplers.registry import make_sampler
from nas.supernet.training.stages import first_choices, stages_of
from searchspaces.subnet import Layer, SubnetSpec

PROJECTED = 64  # classes that the projections tell apart
GRID = 2  # features are pooled to GRID x GRID before they are projected
STUDENT_TEMPERATURE, TEACHER_TEMPERATURE = 0.5, 0.25
MOMENTUM = 0.99  # of the teacher, once it is ten times older than the start of its stage
YOUNG = 10  # steps after which the teacher's memory is half of its age


class Projection(nn.Module):
    """Features of any width up to ``width`` to logits of ``PROJECTED`` invented classes."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(PROJECTED, width, GRID, GRID) / (GRID * width**0.5))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, PROJECTED), each column of mean 0 and variance 1 over the batch."""
        pooled = F.adaptive_avg_pool2d(x.float(), GRID)
        logits = F.conv2d(pooled, self.weight[:, : x.shape[1]]).flatten(1)
        return F.batch_norm(logits, None, None, training=True)


@dataclass(frozen=True, slots=True)
class StageInput:
    """Features (B, C, H, W) that enter the paths, and what to learn.

    ``target`` are probabilities (B, PROJECTED) in the phase of a stage, labels (B,) for the head.
    """

    x: Tensor
    paths: Sequence[Sequence[Layer]]
    stage: int
    target: Tensor


class StageLoss(nn.Module):
    """Student and projections; one module, so that it can be run on several devices."""

    def __init__(self, supernet: Supernet, n_stages: int) -> None:
        super().__init__()
        self.supernet = supernet
        width = max(bounds.width for bounds in supernet.space.fabric.slots().values())
        self.projections = nn.ModuleList(Projection(width) for _ in range(n_stages))

    def forward(self, given: StageInput) -> Tensor:
        """The mean cross-entropy of the paths: of a stage, or of the head behind whole paths."""
        if given.stage == len(self.projections):
            return self._head(given)
        features = run_paths(self.supernet, given.x, given.paths)
        project = self.projections[given.stage]
        losses = [F.cross_entropy(project(f) / STUDENT_TEMPERATURE, given.target) for f in features]
        return torch.stack(losses).mean()

    def _head(self, given: StageInput) -> Tensor:
        with torch.no_grad():
            features = run_paths(self.supernet, given.x, [path[:-1] for path in given.paths])
        losses = [
            F.cross_entropy(self.supernet.block(path[-1].slot)(f, path[-1].spec).float(), given.target)
            for f, path in zip(features, given.paths, strict=True)
        ]
        return torch.stack(losses).mean()


class BlockwiseLearner:
    """See the module. ``extra`` holds what is trained or remembered beside the supernet."""

    def __init__(
        self,
        supernet: Supernet,
        config: TrainConfig,
        replica: Replica,
        *,
        steps: int,
        augmentation: Literal["none", "affine", "crop-flip"],
    ) -> None:
        self.supernet, self.config, self.replica, self.augmentation = supernet, config, replica, augmentation
        self.sampler = make_sampler(supernet, config)
        self.firsts = first_choices(supernet.space, seed=config.seed)
        self.n_stages = len(self.firsts)
        probe = round(config.probe_fraction * steps)
        bounds = np.linspace(0, steps - probe, self.n_stages + 1).round().astype(int)
        self.bounds = [*(int(b) for b in bounds), steps]  # stage i: bounds[i] to bounds[i + 1]; then the head
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.student = StageLoss(supernet, self.n_stages).to(next(supernet.parameters()).device)
        self.teacher = copy.deepcopy(self.student, {id(supernet.space): supernet.space}).requires_grad_(False)
        self.extra = nn.ModuleDict({"projections": self.student.projections, "teacher": self.teacher})
        self.loss = replica.wrap(self.student)

    def step(self, step: int, images: Tensor, labels: Tensor) -> StepReport:
        """See Learner."""
        stage = next(i for i in range(self.n_stages + 1) if step < self.bounds[i + 1])
        begun, length = step - self.bounds[stage], self.bounds[stage + 1] - self.bounds[stage]
        rng = np.random.default_rng([self.config.seed, 2, step])
        if stage == self.n_stages:
            given, phase = self._probe_input(images, labels, rng), "head"
        else:
            self._follow(begun)
            given, phase = (
                self._stage_input(stage, images, rng),
                f"stage {stage + 1} of {self.n_stages}",
            )
        loss = self.loss(given)
        loss.backward()
        seen = len(labels) * len(given.paths) * self.replica.world
        lr = self.config.lr_at(begun, length)
        return StepReport(float(self.replica.mean(loss.detach())), seen, phase, lr)

    def memory(self) -> Mapping[str, Any]:
        """See Learner."""
        return {"sampler": dict(self.sampler.memory())}

    def recall(self, memory: Mapping[str, Any]) -> None:
        """See Learner."""
        self.sampler.recall(memory["sampler"])

    def _stage_input(self, stage: int, images: Tensor, rng: np.random.Generator) -> StageInput:
        subnets = self._draw(rng, self.firsts[stage])
        split = [stages_of(subnet) for subnet in subnets]
        entry = [layer for layers in split[0][:stage] for layer in layers]
        paths = [stages[stage] for stages in split]
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)) + self.replica.rank)
        other = augment(images, self.augmentation, generator)
        self.teacher.train()
        with torch.no_grad():
            views = [
                run_paths(self.teacher.supernet, resize(view, subnets[0].resolution), [entry])[0]
                for view in (images, other)
            ]
            project = self.teacher.projections[stage]
            members = [
                (project(f) / TEACHER_TEMPERATURE).softmax(1)
                for f in run_paths(self.teacher.supernet, views[1], paths)
            ]
        return StageInput(views[0], paths, stage, torch.stack(members).mean(0))

    def _probe_input(self, images: Tensor, labels: Tensor, rng: np.random.Generator) -> StageInput:
        """Whole paths that differ in their last stage."""
        subnets = self._draw(rng, self.firsts[-1])
        x = resize(images, subnets[0].resolution)
        return StageInput(x, [subnet.layers for subnet in subnets], self.n_stages, labels)

    def _draw(self, rng: np.random.Generator, n_shared: int) -> list[SubnetSpec]:
        """The step's subnets, which agree in their first choices."""
        space = self.supernet.space
        root = self.sampler.genes(rng)
        others = [self.sampler.genes(rng, root[:n_shared]) for _ in range(self.config.subnets - 1)]
        return [space.decode(space.arch(genes)) for genes in (root, *others)]

    def _follow(self, age: int) -> None:
        """Move the teacher towards the student, at the start of a stage all the way."""
        momentum = min(MOMENTUM, age / (age + YOUNG))
        with torch.no_grad():
            for mean, parameter in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
                mean.lerp_(parameter, 1 - momentum)
