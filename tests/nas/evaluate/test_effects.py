"""Observed effects: seeded, without a trace on the supernet, and true of a supernet whose truth is known."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from nas.data.types import Split
from nas.evaluate.effects import BATCH, SUBNETS, SUBNETS_PER_OPTION, estimate_effects, worth_observing
from nas.supernet.extract import batch_norms
from nas.supernet.supernet import Supernet
from searchspaces.genes import option_counts, sample_genes
from searchspaces.registry import get_space
from searchspaces.subnet import SubnetSpec
from tests.nas.evaluate.test_prefix import images, supernet_of

DIGEST = "d" * 64
SPACES = ("nasbench201-c4-n1-r8", "stitched-tiny")


@pytest.mark.parametrize("name", SPACES)
def test_the_same_seed_gives_the_same_effects_and_the_supernet_stays(name: str) -> None:
    supernet, (split, _) = supernet_of(name), images()
    before = copy.deepcopy(supernet.state_dict())
    seen: list[tuple[int, int]] = []
    first = estimate_effects(supernet, split, digest=DIGEST, seed=1, report=lambda *p: seen.append(p))
    again = estimate_effects(supernet, split, digest=DIGEST, seed=1)
    other = estimate_effects(supernet, split, digest=DIGEST, seed=2)
    assert first is not None
    assert again is not None
    assert other is not None
    np.testing.assert_array_equal(first.weights, again.weights)
    assert not np.array_equal(first.weights, other.weights)
    assert not supernet.training
    assert all(torch.equal(before[key], value) for key, value in supernet.state_dict().items())
    rounds = -(-SUBNETS_PER_OPTION * int(option_counts(supernet.space).sum()) // SUBNETS)
    assert seen == [(done, rounds) for done in range(1, rounds + 1)]
    assert (first.n_subnets, first.n_images) == (rounds * SUBNETS, BATCH)


def test_statistics_are_those_of_the_images_and_not_the_ones_that_training_left_behind() -> None:
    supernet, (split, _) = copy.deepcopy(supernet_of(SPACES[0])), images()
    first = estimate_effects(supernet, split, digest=DIGEST, seed=1)
    for norm in batch_norms(supernet):
        norm.reset_running_stats()
    second = estimate_effects(supernet, split, digest=DIGEST, seed=1)
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first.weights, second.weights)


def test_only_long_trainings_are_worth_it() -> None:
    space = get_space(SPACES[0])
    needed = 10 * SUBNETS_PER_OPTION * int(option_counts(space).sum())
    assert not worth_observing(space, needed - 1)
    assert worth_observing(space, needed + 10 * SUBNETS)


def test_observing_can_be_stopped() -> None:
    split, _ = images()
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 2

    assert estimate_effects(supernet_of(SPACES[0]), split, digest=DIGEST, seed=1, should_stop=stop) is None
    assert len(asked) == 3


class Biased(Supernet):
    """Its logits are right in as much as its subnets are deep."""

    def forward(self, images: torch.Tensor, subnet: SubnetSpec) -> torch.Tensor:
        depth = len(subnet.layers)
        marked = (images[:, 0].mean(dim=(1, 2)) > 0.5).long()
        return torch.nn.functional.one_hot(marked, self.n_classes).float() * 0.2 * depth


def test_effects_rank_subnets_as_their_losses_do() -> None:
    space = get_space("hybrid-tiny")
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 300)
    bright = np.broadcast_to((40 + 170 * labels)[:, None, None, None], (300, 1, 8, 8)).astype(np.uint8)
    supernet = Biased(space, n_classes=2, in_channels=1)
    effects = estimate_effects(supernet, Split(bright, labels), digest=DIGEST, seed=3)
    assert effects is not None
    genes = sample_genes(space, 300, rng)
    depth = [len(space.decode(space.arch(row)).layers) for row in genes.tolist()]
    assert spearmanr(effects(genes), depth).statistic < -0.8  # stitches between operators do not add up
