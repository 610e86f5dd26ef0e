"""Main effects of a space's choices, observed in a trained supernet on training images.

A fraction of an epoch, forward only: a small batch of training images runs through a few random
subnets, the next batch through others. No loss of so few images says much of its subnet, but all of
them together say which choices matter, before a search has evaluated anything.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from nas.data.types import Split
from nas.supernet.resize import resize, to_float
from nas.supernet.supernet import Supernet
from predictors.accuracy.effects import ChoiceEffects
from searchspaces.genes import IntArray, archs_of, option_counts, sample_genes
from searchspaces.space import SearchSpace

BATCH = 64  # images of a round; batch norms use its own statistics
SUBNETS = 8  # of a round, on the same images
SUBNETS_PER_OPTION = 6  # of the space, in all rounds together
LARGEST_SHARE = 0.1  # of a training's passes through subnets; hybrid-cifar: 5 %, and 3 % of its CPU time


def worth_observing(space: SearchSpace, passes: int) -> bool:
    """Whether a training with so many passes through subnets was long enough to add those of effects."""
    return _rounds(space) * SUBNETS <= LARGEST_SHARE * passes


def estimate_effects(
    supernet: Supernet,
    train: Split,
    *,
    digest: str,
    seed: int,
    report: Callable[[int, int], None] = lambda *_: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> ChoiceEffects | None:
    """Observe random subnets of the supernet, which stays as it is; None if it was stopped.

    ``digest`` is the SHA-256 of its weights. The same seed gives the same effects.
    ``report(round, rounds)`` is called after every round. Raises InvalidValueError if no round has
    finite losses.
    """
    space = supernet.space
    rounds = _rounds(space)
    rng = np.random.default_rng([seed, 11])
    genes = _draw(space, rounds * SUBNETS, rng).reshape(rounds, SUBNETS, -1)
    order = np.concatenate([rng.permutation(len(train.labels)) for _ in range(_passes(train, rounds))])
    observed = copy.deepcopy(supernet).train()  # batch norms use, and then change, statistics
    losses = np.zeros((rounds, SUBNETS))
    for index in range(rounds):
        if should_stop():
            return None
        chosen = order[index * BATCH : (index + 1) * BATCH]
        losses[index] = _losses(observed, train, chosen, genes[index])
        report(index + 1, rounds)
    return ChoiceEffects.fit(space, digest, genes, losses, n_images=BATCH)


def _rounds(space: SearchSpace) -> int:
    return math.ceil(SUBNETS_PER_OPTION * int(option_counts(space).sum()) / SUBNETS)


def _draw(space: SearchSpace, n: int, rng: np.random.Generator) -> IntArray:
    """``n`` random archs (n, c); those that ignore their input are replaced by others of them."""
    rows = sample_genes(space, n, rng)
    connected = np.flatnonzero(space.connected(rows))
    if len(connected) in (0, n):
        return rows
    return np.asarray(rows[np.concatenate([connected, rng.choice(connected, n - len(connected))])])


def _passes(train: Split, rounds: int) -> int:
    return math.ceil(rounds * BATCH / len(train.labels))


def _losses(supernet: Supernet, train: Split, chosen: IntArray, genes: IntArray) -> list[float]:
    images = to_float(torch.from_numpy(train.images[chosen]))
    labels = torch.from_numpy(train.labels[chosen])
    losses = []
    with torch.inference_mode():
        for arch in archs_of(supernet.space, genes):
            subnet = supernet.space.decode(arch)
            logits = supernet(resize(images, subnet.resolution), subnet).float()
            losses.append(float(F.cross_entropy(logits, labels)))
    return losses
