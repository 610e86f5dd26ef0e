"""Random subnets as extracted networks, for the benchmarks that measure latency."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from nas.supernet.extract import extract_subnet, fold
from nas.supernet.supernet import Supernet
from searchspaces.registry import get_space
from searchspaces.space import Arch

IN_CHANNELS = 3
N_CLASSES = 10


def random_candidates(space_name: str, n: int, seed: int) -> dict[Arch, tuple[nn.Module, Tensor]]:
    """``n`` distinct random archs, each with its folded network and a random image (1, 3, R, R).

    Weights are random: the time that a network takes does not depend on them.
    """
    space = get_space(space_name)
    torch.manual_seed(seed)
    supernet = Supernet(space, n_classes=N_CLASSES, in_channels=IN_CHANNELS).eval()
    rng = np.random.default_rng(seed)
    candidates: dict[Arch, tuple[nn.Module, Tensor]] = {}
    while len(candidates) < n:
        arch = space.sample(rng)
        subnet = space.decode(arch)
        image = torch.rand(1, IN_CHANNELS, subnet.resolution, subnet.resolution)
        candidates[arch] = (fold(extract_subnet(supernet, subnet)), image)
    return candidates
