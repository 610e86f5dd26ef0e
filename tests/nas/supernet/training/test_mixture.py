"""Copies of weights: extraction takes the right one, the checkpoint knows how many there are."""

import numpy as np
import pytest
import torch

from nas.errors import CheckpointError, ConfigError
from nas.supernet.checkpoint import load_supernet, save_supernet
from nas.supernet.config import TrainConfig
from nas.supernet.extract import extract_subnet
from nas.supernet.supernet import Supernet
from nas.supernet.train import train
from searchspaces.registry import get_space
from tests.nas.supernet.test_train import QUICK, data, stop_after  # noqa: F401

SPACE = get_space("hybrid-tiny-r8-m2")


def supernet(name: str = "hybrid-tiny-r8-m2") -> Supernet:
    torch.manual_seed(0)
    return Supernet(get_space(name), n_classes=10, in_channels=1)


def test_training_a_path_leaves_the_other_copy_alone():
    net = supernet().train()
    subnet = SPACE.decode(SPACE.sample(np.random.default_rng(0)))
    net(torch.rand(4, 1, 8, 8), subnet).sum().backward()
    used = {layer.slot.partition("~")[2] for layer in subnet.layers[1:-1]}
    touched = {
        name.split(".")[1].partition("~")[2] for name, p in net.named_parameters() if p.grad is not None
    }
    assert touched - {""} == used


def test_extraction_takes_the_copy_that_the_supernet_runs(tmp_path):
    net = supernet().eval()
    save_supernet(tmp_path, net, info={})
    loaded = load_supernet(tmp_path)
    assert loaded.space.id == "hybrid-tiny-r8-m2@1"
    images = torch.rand(3, 1, 8, 8)
    for seed in range(6):
        subnet = SPACE.decode(SPACE.sample(np.random.default_rng(seed)))
        with torch.no_grad():
            torch.testing.assert_close(extract_subnet(loaded, subnet)(images), net(images, subnet))


def test_a_state_with_another_number_of_copies_is_refused(data, tmp_path):  # noqa: F811
    train(supernet(), data, QUICK, folder=tmp_path, should_stop=stop_after(1))
    with pytest.raises(CheckpointError, match=r"space was .*-m2@1', this run has .*-m3@1'"):
        train(supernet("hybrid-tiny-r8-m3"), data, TrainConfig(), folder=tmp_path)


def test_least_squares_between_copies_is_refused_before_training(data, tmp_path):  # noqa: F811
    config = TrainConfig(stitch_init="least_squares", anchor_fraction=0.5)
    with pytest.raises(ConfigError, match=r"stitch_init 'least_squares' needs .* hybrid-tiny-r8-m2@1"):
        train(supernet(), data, config, folder=tmp_path)
