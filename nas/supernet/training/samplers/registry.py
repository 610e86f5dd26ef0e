"""Samplers by the names that TrainConfig knows."""

from __future__ import annotations

from typing import assert_never

from nas.supernet.config import TrainConfig
from nas.supernet.supernet import Supernet
from nas.supernet.training.samplers.cost_balanced import CostBalancedSampler
from nas.supernet.training.samplers.least_trained import LeastTrainedSampler
from nas.supernet.training.samplers.sampler import Sampler
from nas.supernet.training.samplers.uniform import UniformSampler


def make_sampler(supernet: Supernet, config: TrainConfig) -> Sampler:
    """The sampler that ``config.sampler`` names, over the supernet's space."""
    space = supernet.space
    match config.sampler:
        case "uniform":
            return UniformSampler(space)
        case "least_trained":
            return LeastTrainedSampler(space)
        case "cost_balanced":
            return CostBalancedSampler(
                space, in_channels=supernet.in_channels, n_classes=supernet.n_classes, seed=config.seed
            )
        case other:
            assert_never(other)
