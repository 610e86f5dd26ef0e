"""Train a supernet: resumable to the bit, interruptible at every step.

Every random number of step t comes from the seed and t alone, so the state on disk is
parameters, averages, optimiser moments and t.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nas.data.load import ImageData
from nas.errors import ConfigError
from nas.supernet.checkpoint import save_supernet
from nas.supernet.config import TrainConfig
from nas.supernet.resize import to_float
from nas.supernet.stitching import fit_stitches
from nas.supernet.supernet import Supernet
from nas.supernet.training.augment import augment, augmentation_for
from nas.supernet.training.blockwise import BlockwiseLearner
from nas.supernet.training.learner import ForestLearner, Learner, StepReport
from nas.supernet.training.replica import Replica
from nas.supernet.training.state import TrainingState
from searchspaces.fabric import Fabric

STITCH_IMAGES = 256


@dataclass(frozen=True, slots=True)
class TrainProgress:
    """Where training stands; ``images_per_s`` counts images once per subnet that saw them."""

    step: int
    steps: int
    phase: str  # "anchors", "joint", or in blockwise mode "stage 1 of 4" and so on, then "head"
    loss: float
    lr: float
    images_per_s: float
    eta_s: float


@dataclass(frozen=True, slots=True)
class TrainResult:
    """``completed`` is False when training was stopped; the folder then holds what resumes it."""

    completed: bool
    step: int
    steps: int
    images_per_s: float


def train(
    supernet: Supernet,
    data: ImageData,
    config: TrainConfig,
    *,
    folder: Path,
    report: Callable[[TrainProgress], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> TrainResult:
    """Train on the training split and leave the averaged weights in ``folder`` (see checkpoint.py).

    Continues from the state in ``folder`` if there is one. Raises CheckpointError if that state
    belongs to another space, data set or configuration, and ConfigError for a configuration that
    does not suit the space; both before anything is trained.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    run = TrainingRun(supernet, data, config, folder, Replica())
    return run.train(report, should_stop)


def total_steps(n_images: int, config: TrainConfig) -> int:
    """Steps in all: whole batches per epoch, at least one."""
    return config.epochs * max(1, n_images // config.batch_size)


class TrainingRun:
    """One training run: the pieces that every step needs. ``replica`` is this process among several."""

    def __init__(
        self, supernet: Supernet, data: ImageData, config: TrainConfig, folder: Path, replica: Replica
    ) -> None:
        if config.stitch_init == "least_squares" and not isinstance(supernet.space.fabric, Fabric):
            raise ConfigError(
                f"stitch_init 'least_squares' needs anchors that share a chain of positions, which "
                f"{supernet.space.id} does not have; 'identity' is allowed"
            )
        self.config, self.folder, self.replica = config, folder, replica
        self.device = _device(config)
        self.supernet = supernet.to(self.device)
        self.images = torch.from_numpy(data.train.images).to(self.device)
        self.labels = torch.from_numpy(data.train.labels).to(self.device)
        self.steps = total_steps(len(self.labels), config)
        self.data_name, self.data_digest = data.name, data.digest
        self.augmentation = augmentation_for(data.in_channels) if config.augment == "auto" else config.augment
        self.learner = self._learner()
        self.state = TrainingState(self.supernet, config, data_digest=data.digest, extra=self.learner.extra)

    def _learner(self) -> Learner:
        if self.config.mode == "blockwise":
            return BlockwiseLearner(
                self.supernet, self.config, self.replica, steps=self.steps, augmentation=self.augmentation
            )
        return ForestLearner(self.supernet, self.config, self.replica, steps=self.steps)

    def train(self, report: Callable[[TrainProgress], None], should_stop: Callable[[], bool]) -> TrainResult:
        """See the function ``train``."""
        start, memory = self.state.load(self.folder)
        if memory:
            self.learner.recall(memory)
        anchor_steps = round(self.config.anchor_fraction * self.steps)
        clock = _Clock(start, self.steps)
        for step in range(start, self.steps):
            if self.replica.agree(should_stop()):
                self._save(step)
                return TrainResult(False, step, self.steps, clock.images_per_s)
            if step == anchor_steps and self.config.stitch_init == "least_squares":
                self._start_stitches()
            report(clock.tick(self._step(step)))
            if self.replica.agree(clock.since_saved() > self.config.checkpoint_seconds):
                self._save(step + 1)
                clock.saved()
        self._finish()
        return TrainResult(True, self.steps, self.steps, clock.images_per_s)

    def _step(self, step: int) -> StepReport:
        config = self.config
        images, labels = self.batch(step)
        self.supernet.train()
        amp = config.amp == "bf16" or (config.amp == "auto" and self.device.type == "cuda")
        with torch.autocast(self.device.type, torch.bfloat16, enabled=amp):
            report = self.learner.step(step, images, labels)
        self.state.update(report.lr)
        return report

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Augmented images (b, C, R, R) and labels (b,) of a step: this process's share."""
        n, size = len(self.labels), min(self.config.batch_size, len(self.labels))
        epoch, index = divmod(step, max(1, n // size))
        order = np.random.default_rng([self.config.seed, 3, epoch]).permutation(n)
        chosen = torch.from_numpy(order[index * size : (index + 1) * size]).to(self.device)
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + step)
        images = augment(to_float(self.images[chosen]), self.augmentation, generator)
        return self.replica.share(images), self.replica.share(self.labels[chosen])

    def _save(self, step: int) -> None:
        if self.replica.rank == 0:
            self.state.save(self.folder, step, self.learner.memory())

    def _start_stitches(self) -> None:
        rng = np.random.default_rng([self.config.seed, 4])
        n = min(STITCH_IMAGES, len(self.labels))
        chosen = torch.from_numpy(rng.choice(len(self.labels), n, replace=False)).to(self.device)
        fit_stitches(self.supernet, to_float(self.images[chosen]), seed=self.config.seed)
        self.state.restart_average()

    def _finish(self) -> None:
        averaged = self.state.averaged()
        self.supernet.load_state_dict(averaged.state_dict())
        if self.replica.rank == 0:
            info = {"data": self.data_name, "data_digest": self.data_digest, "steps": self.steps}
            save_supernet(self.folder, averaged, info=info)
            self.state.discard(self.folder)


class _Clock:
    """Throughput, time left and time since the last checkpoint."""

    def __init__(self, start: int, steps: int) -> None:
        self.start, self.step, self.steps = start, start, steps
        self.began = self.last_saved = time.monotonic()
        self.subnet_images = 0
        self.images_per_s = 0.0

    def tick(self, done: StepReport) -> TrainProgress:
        """Count a step that has just ended."""
        self.step += 1
        self.subnet_images += done.subnet_images
        elapsed = max(time.monotonic() - self.began, 1e-9)
        self.images_per_s = self.subnet_images / elapsed
        eta = (self.steps - self.step) * elapsed / (self.step - self.start)
        return TrainProgress(self.step, self.steps, done.phase, done.loss, done.lr, self.images_per_s, eta)

    def saved(self) -> None:
        """A checkpoint has just been written."""
        self.last_saved = time.monotonic()

    def since_saved(self) -> float:
        """Seconds since the last checkpoint, or since the start."""
        return time.monotonic() - self.last_saved


def _device(config: TrainConfig) -> torch.device:
    if config.device != "auto":
        return torch.device(config.device)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
