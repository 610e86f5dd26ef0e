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
from nas.supernet.checkpoint import save_supernet
from nas.supernet.config import TrainConfig
from nas.supernet.resize import to_float
from nas.supernet.sampling import sample_subnets
from nas.supernet.stitching import fit_stitches
from nas.supernet.supernet import Supernet
from nas.supernet.training.augment import augment, augmentation_for
from nas.supernet.training.losses import multi_backward, sandwich_backward
from nas.supernet.training.state import TrainingState

STITCH_IMAGES = 256


@dataclass(frozen=True, slots=True)
class TrainProgress:
    """Where training stands; ``images_per_s`` counts images once per subnet that saw them."""

    step: int
    steps: int
    phase: str  # "anchors" or "joint"
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
    belongs to another space, data set or configuration.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    run = _Run(supernet, data, config, folder)
    return run.train(report, should_stop)


def total_steps(n_images: int, config: TrainConfig) -> int:
    """Steps in all: whole batches per epoch, at least one."""
    return config.epochs * max(1, n_images // config.batch_size)


class _Run:
    """One training run: the pieces that every step needs."""

    def __init__(self, supernet: Supernet, data: ImageData, config: TrainConfig, folder: Path) -> None:
        self.config = config
        self.folder = folder
        self.device = _device(config)
        self.supernet = supernet.to(self.device)
        self.images = torch.from_numpy(data.train.images).to(self.device)
        self.labels = torch.from_numpy(data.train.labels).to(self.device)
        self.steps = total_steps(len(self.labels), config)
        self.data_name, self.data_digest = data.name, data.digest
        self.state = TrainingState(self.supernet, config, data_digest=data.digest)
        self.augmentation = augmentation_for(data.in_channels) if config.augment == "auto" else config.augment

    def train(self, report: Callable[[TrainProgress], None], should_stop: Callable[[], bool]) -> TrainResult:
        start = step = self.state.load(self.folder)
        anchor_steps = round(self.config.anchor_fraction * self.steps)
        began = saved = time.monotonic()
        rate = 0.0
        while step < self.steps:
            if should_stop():
                self.state.save(self.folder, step)
                return TrainResult(False, step, self.steps, rate)
            if step == anchor_steps and self.config.stitch_init == "least_squares":
                self._start_stitches()
            loss = self._step(step, anchors_only=step < anchor_steps)
            step += 1
            now = time.monotonic()
            rate = (step - start) * self._images_per_step() / (now - began)
            eta = (self.steps - step) * (now - began) / (step - start)
            phase = "anchors" if step <= anchor_steps else "joint"
            report(
                TrainProgress(
                    step, self.steps, phase, loss, self.config.lr_at(step - 1, self.steps), rate, eta
                )
            )
            if now - saved > self.config.checkpoint_seconds:
                self.state.save(self.folder, step)
                saved = now
        self._finish()
        return TrainResult(True, step, self.steps, rate)

    def _step(self, step: int, *, anchors_only: bool) -> float:
        config, space = self.config, self.supernet.space
        rng = np.random.default_rng([config.seed, 2, step])
        subnets = [
            space.decode(arch) for arch in sample_subnets(space, config, rng, anchors_only=anchors_only)
        ]
        images, labels = self._batch(step)
        backward = sandwich_backward if config.mode == "sandwich" else multi_backward
        self.supernet.train()
        amp = config.amp == "bf16" or (config.amp == "auto" and self.device.type == "cuda")
        with torch.autocast(self.device.type, torch.bfloat16, enabled=amp):
            loss = backward(self.supernet, subnets, images, labels, config)
        self.state.update(config.lr_at(step, self.steps))
        return loss

    def _batch(self, step: int) -> tuple[Tensor, Tensor]:
        n, size = len(self.labels), min(self.config.batch_size, len(self.labels))
        epoch, index = divmod(step, max(1, n // size))
        order = np.random.default_rng([self.config.seed, 3, epoch]).permutation(n)
        chosen = torch.from_numpy(order[index * size : (index + 1) * size]).to(self.device)
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + step)
        images = augment(to_float(self.images[chosen]), self.augmentation, generator)
        return images, self.labels[chosen]

    def _images_per_step(self) -> int:
        size = min(self.config.batch_size, len(self.labels))
        return size * self.config.subnets if self.config.mode == "sandwich" else size

    def _start_stitches(self) -> None:
        rng = np.random.default_rng([self.config.seed, 4])
        n = min(STITCH_IMAGES, len(self.labels))
        chosen = torch.from_numpy(rng.choice(len(self.labels), n, replace=False)).to(self.device)
        fit_stitches(self.supernet, to_float(self.images[chosen]), seed=self.config.seed)
        self.state.restart_average()

    def _finish(self) -> None:
        averaged = self.state.averaged()
        save_supernet(
            self.folder,
            averaged,
            info={"data": self.data_name, "data_digest": self.data_digest, "steps": self.steps},
        )
        self.supernet.load_state_dict(averaged.state_dict())
        self.state.discard(self.folder)


def _device(config: TrainConfig) -> torch.device:
    if config.device != "auto":
        return torch.device(config.device)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
