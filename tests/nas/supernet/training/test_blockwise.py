"""Block-wise training without labels: stages in turn, only their weights, features that a head can use."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from nas.data.load import ImageData, load_data
from nas.errors import ConfigError
from nas.evaluate.accuracy import SupernetEvaluator, calibration_images
from nas.supernet.config import TrainConfig
from nas.supernet.supernet import Supernet
from nas.supernet.train import train
from nas.supernet.training.blockwise import BlockwiseLearner
from nas.supernet.training.replica import Replica
from nas.supernet.training.stages import first_choices, stages_of
from searchspaces.registry import get_space

SPACE = get_space("hybrid-tiny-r8")
CONFIG = TrainConfig(epochs=10, batch_size=64, mode="blockwise", threads=1, checkpoint_seconds=1e3)


@pytest.fixture(scope="module")
def data() -> ImageData:
    return load_data("digits", limit=512)


def fresh() -> Supernet:
    torch.manual_seed(0)
    return Supernet(SPACE, n_classes=10, in_channels=1, mean=[0.3], std=[0.4])


def test_subnets_that_agree_in_the_first_choices_agree_before_the_stage():
    rng = np.random.default_rng(0)
    firsts = first_choices(SPACE, seed=0)
    assert len(firsts) == 4
    for stage, n in enumerate(firsts):
        root = SPACE.sample(rng).genes
        pair = [SPACE.decode(SPACE.arch([*root[:n], *SPACE.sample(rng).genes[n:]])) for _ in range(2)]
        assert stages_of(pair[0])[:stage] == stages_of(pair[1])[:stage]
        assert stages_of(pair[0])[stage][0].slot == stages_of(pair[1])[stage][0].slot


def test_a_space_whose_choices_do_not_follow_the_chain_is_refused():
    with pytest.raises(ConfigError, match="mode 'blockwise' needs a space with choices for every stage"):
        first_choices(get_space("nasbench201-c4-n1-r8"), seed=0)


def test_a_step_trains_one_stage_only():
    net = fresh().train()
    learner = BlockwiseLearner(net, CONFIG, Replica(), steps=50, augmentation="none")
    images, labels = torch.rand(8, 1, 8, 8), torch.arange(8)
    for step, expected in ((0, {"stem", "s0"}), (12, {"s1"}), (25, {"s2"}), (35, {"s3"}), (45, {"head"})):
        net.zero_grad()
        learner.step(step, images, labels)
        trained = {
            name.split(".")[1].split("_")[0] for name, p in net.named_parameters() if p.grad is not None
        }
        assert trained == expected, step


def test_labels_matter_to_the_head_alone(data):
    images = torch.rand(8, 1, 8, 8)
    losses = [
        BlockwiseLearner(fresh().train(), CONFIG, Replica(), steps=50, augmentation="none")
        .step(0, images, labels)
        .loss
        for labels in (torch.arange(8), torch.zeros(8, dtype=torch.int64))
    ]
    assert losses[0] == losses[1]


def test_features_learned_without_labels_beat_random_ones_under_the_same_head(data, tmp_path):
    reports = []
    archs = [SPACE.sample(np.random.default_rng(i)) for i in range(6)]

    def top1(folder, config) -> float:
        net = fresh()
        assert train(net, data, config, folder=tmp_path / folder, report=reports.append).completed
        evaluator = SupernetEvaluator(net.cpu().eval(), data.val, calibration_images(data.train, n=128))
        return float(np.mean([e.values["top1"] for e in evaluator.evaluate(archs)]))

    config = replace(CONFIG, epochs=30, probe_fraction=0.4)
    learned = top1("learned", config)
    phases = {phase: [r.loss for r in reports if r.phase == phase] for phase in {r.phase for r in reports}}
    for phase, losses in phases.items():
        assert np.mean(losses[-5:]) < np.mean(losses[:5]), phase
    # As many steps of the head on features that hardly moved.
    random = top1("random", replace(config, epochs=12, probe_fraction=0.9, warmup_fraction=0.0))
    assert learned > random
