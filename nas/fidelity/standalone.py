"""Truth by training alone: one subnet as an ordinary network, from scratch, with the supernet's recipe."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from nas.blocks.zoo import elastic_block
from nas.data.types import ImageData, Split
from nas.evaluate.accuracy import calibration_images, top1
from nas.supernet.config import TrainConfig
from nas.supernet.extract import ExtractedSubnet, calibrate, fold
from nas.supernet.resize import resize, to_float
from nas.supernet.training.augment import augment, augmentation_for
from nas.supernet.training.state import NO_DECAY
from searchspaces.subnet import SubnetSpec


@dataclass(frozen=True, slots=True)
class Standalone:
    """A network trained alone: test accuracy in [0, 1], and the CPU seconds that it took."""

    top1: float
    cpu_seconds: float


def untrained(subnet: SubnetSpec, *, n_classes: int, in_channels: int) -> ExtractedSubnet:
    """The subnet's network with weights as drawn for its own sizes, in train mode; stitches are identities.

    Slices of a freshly drawn supernet would not do: their scale is that of the largest sizes.
    """
    blocks = [
        (
            f"{index:02d}_{layer.spec.kind}",
            layer.spec,
            elastic_block(layer.spec, in_channels=in_channels, n_classes=n_classes),
        )
        for index, layer in enumerate(subnet.layers)
    ]
    network = ExtractedSubnet(subnet.resolution, [(name, block.plain(spec)) for name, spec, block in blocks])
    for name, spec, block in blocks:
        network.body.get_submodule(name).load_state_dict(block.extract(spec).state_dict())
    return network


def train_alone(
    subnet: SubnetSpec,
    data: ImageData,
    config: TrainConfig,
    *,
    report: Callable[[int, int], None] = lambda *_: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Standalone | None:
    """Train the subnet on the training split and score it on the test split; None if it was stopped.

    Of ``config`` what concerns several subnets at once (mode, subnets, stitches) does nothing,
    and there is no weight average: the learning rate ends near zero. Runs on the CPU in float32;
    the same seed gives the same network. ``report(step, steps)`` is called after every step.
    """
    torch.manual_seed(config.seed)
    network = untrained(subnet, n_classes=data.n_classes, in_channels=data.in_channels)
    # 1.2 to 1.3 times the images per second on CPUs; torch's stubs lack the argument.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    _normalise(network, data)
    began = time.process_time()
    for step, steps in _steps(network, data, config):
        report(step, steps)
        if should_stop():
            return None
    calibrate(network, calibration_images(data.train, seed=config.seed))
    accuracy = _accuracy(fold(network), data.test)
    return Standalone(accuracy, time.process_time() - began)


def _steps(network: ExtractedSubnet, data: ImageData, config: TrainConfig) -> Iterator[tuple[int, int]]:
    """Train; yields (steps done, steps in all) after every step."""
    images, labels = torch.from_numpy(data.train.images), torch.from_numpy(data.train.labels)
    kind = augmentation_for(data.in_channels) if config.augment == "auto" else config.augment
    optimizer = _optimizer(network, config)
    size = min(config.batch_size, len(labels))
    per_epoch = len(labels) // size
    steps = config.epochs * per_epoch
    network.train()
    for step in range(steps):
        epoch, index = divmod(step, per_epoch)
        order = np.random.default_rng([config.seed, 3, epoch]).permutation(len(labels))
        chosen = torch.from_numpy(order[index * size : (index + 1) * size])
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
        batch = augment(to_float(images[chosen]), kind, generator)
        logits = network(resize(batch, network.resolution))
        F.cross_entropy(logits, labels[chosen], label_smoothing=config.label_smoothing).backward()
        nn.utils.clip_grad_norm_(network.parameters(), config.grad_clip)
        for group in optimizer.param_groups:
            group["lr"] = config.lr_at(step, steps)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        yield step + 1, steps


def _optimizer(network: ExtractedSubnet, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW with the groups of supernet training: no decay for vectors and time constants."""
    decayed: list[nn.Parameter] = []
    kept: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        (decayed if parameter.ndim > 1 and not name.endswith(NO_DECAY) else kept).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": kept, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.99), fused=True)


def _normalise(network: ExtractedSubnet, data: ImageData) -> None:
    """Give the stem the mean and standard deviation of the training images per channel."""
    images = data.train.images.astype(np.float32) / 255
    stem = network.body[0]
    for name, values in (("mean", images.mean((0, 2, 3))), ("std", images.std((0, 2, 3)))):
        stem.get_buffer(name).copy_(torch.from_numpy(values)[:, None, None])


def _accuracy(network: ExtractedSubnet, split: Split) -> float:
    return top1(network, to_float(torch.from_numpy(split.images)), torch.from_numpy(split.labels))
