"""Small anchors distilled from one large network, as one stitched supernet."""

from dataclasses import replace

import pytest
import torch

from nas.data.load import ImageData, load_data
from nas.errors import CheckpointError
from nas.stitching.pool import DistillLearner, block_pairs, distill_anchors
from nas.stitching.train import DEFAULTS
from nas.supernet.checkpoint import load_supernet
from nas.supernet.config import TrainConfig
from nas.supernet.extract import extract_subnet
from nas.supernet.supernet import Supernet
from searchspaces.cost import cost
from searchspaces.errors import AnchorMismatchError
from searchspaces.registry import get_space
from searchspaces.routes import arch_of_route
from searchspaces.space import SearchSpace

POOL = get_space("stitched2-pooltiny")
CONFIG = TrainConfig(**DEFAULTS, epochs=3, batch_size=64, checkpoint_seconds=1e3, threads=1, augment="none")


@pytest.fixture(scope="module")
def data() -> ImageData:
    return load_data("digits", limit=200)


def fresh(space: SearchSpace = POOL, channels: int = 1) -> Supernet:
    torch.manual_seed(0)
    return Supernet(space, n_classes=10, in_channels=channels, mean=[0.3], std=[0.4])


def params(space: SearchSpace, route: str) -> int:
    return cost(space.decode(arch_of_route(space, route)), in_channels=1, n_classes=10).params


def stop_after(n: int):
    calls = iter(range(n + 1))
    return lambda: next(calls, n) >= n


def test_a_pool_stores_less_and_reaches_lower_than_independent_anchors():
    families = get_space("stitched2-tiny")
    stored = sum(p.numel() for p in fresh().parameters())  # stitches and their updates included
    independent = [params(families, anchor) for anchor in families.fabric.anchors]
    assert stored < sum(independent)
    smallest = min(params(POOL, anchor) for anchor in POOL.fabric.anchors)
    assert smallest < min(independent)


def test_distillation_brings_features_and_logits_to_the_teacher(data, tmp_path):
    teacher = fresh(get_space("anchor-tiny-ssm"))
    taught = teacher.space.decode(teacher.space.extreme(largest=True))
    student = fresh(get_space("anchor-pooltiny-small"))
    subnet = student.space.decode(student.space.extreme(largest=True))
    learner = DistillLearner(
        student, CONFIG, steps=60, teacher=extract_subnet(teacher, taught), pairs=block_pairs(taught, subnet)
    )
    optimizer = torch.optim.Adam([*student.parameters(), *learner.extra.parameters()], lr=3e-3)
    images, labels = (
        torch.from_numpy(data.train.images[:64]).float() / 255,
        torch.from_numpy(data.train.labels[:64]),
    )
    losses = []
    for step in range(60):
        losses.append(learner.step(step, images, labels).loss)
        assert all(p.grad is not None for p in learner.extra.parameters())
        optimizer.step()
        optimizer.zero_grad()
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_pairs_lie_at_the_same_resolution():
    teacher, student = get_space("hybrid-tiny-r8"), get_space("anchor-pooltiny-small")
    taught = teacher.decode(teacher.extreme(largest=True))
    own = student.decode(student.extreme(largest=True))
    pairs = block_pairs(taught, own)
    assert len(pairs) >= 3
    assert all(taught.sizes[t] == own.sizes[s] for t, s in pairs)


def test_an_interrupted_distillation_ends_with_the_same_bits(data, tmp_path):
    teacher = fresh(get_space("anchor-tiny-conv"))

    def final(folder, stops=()):
        for n in stops:
            result = distill_anchors(teacher, fresh(), data, CONFIG, folder=folder, should_stop=stop_after(n))
            assert not result.completed
        result = distill_anchors(teacher, fresh(), data, CONFIG, folder=folder)
        assert result.completed
        assert result.step == result.steps
        return load_supernet(folder).state_dict()

    whole, parts = final(tmp_path / "whole"), final(tmp_path / "parts", stops=(2, 5))
    assert all(torch.equal(tensor, parts[name]) for name, tensor in whole.items())


@pytest.mark.parametrize(
    ("space", "channels", "error", "message"),
    [
        ("anchor-tiny-conv", 3, CheckpointError, "anchor-tiny-conv@1, has in_channels 3.*pooltiny@1.*has 1"),
        ("anchor-cifar-conv-r24", 1, AnchorMismatchError, "'teacher' and 'anchor'.*common side length"),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused_before_training(
    data, tmp_path, space, channels, error, message
):
    seen = []
    with pytest.raises(error, match=message):
        distill_anchors(
            fresh(get_space(space), channels),
            fresh(),
            data,
            replace(CONFIG, epochs=3),
            folder=tmp_path / "run",
            report=seen.append,
        )
    assert not seen
    assert not (tmp_path / "run").exists()
