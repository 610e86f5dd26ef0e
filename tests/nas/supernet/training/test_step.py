"""One step: trees compute what single paths compute, targets are the right ones, drops are seeded."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from nas.errors import ConfigError
from nas.supernet.config import TrainConfig
from nas.supernet.supernet import Supernet
from nas.supernet.training.draw import draw_groups
from nas.supernet.training.drop_path import DropPath
from nas.supernet.training.forest import run_tree
from nas.supernet.training.learner import ForestLearner
from nas.supernet.training.losses import better_teacher
from nas.supernet.training.replica import Replica
from nas.supernet.training.samplers.least_trained import LeastTrainedSampler
from nas.supernet.training.samplers.uniform import UniformSampler
from nas.supernet.training.teacher import KEPT, BestTeacher
from searchspaces.registry import get_space

SPACE = get_space("hybrid-tiny-r8")
TREE = TrainConfig(mode="tree", subnets=6, label_smoothing=0.0)


def supernet() -> Supernet:
    torch.manual_seed(0)
    return Supernet(SPACE, n_classes=10, in_channels=1)


def batch(n: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(n, 1, 8, 8, generator=generator), torch.arange(n) % 10


def tree(config: TrainConfig = TREE, seed: int = 0):
    return draw_groups(SPACE, config, UniformSampler(SPACE), np.random.default_rng(seed))


class Counted:
    """Counts calls of the elastic blocks of a supernet."""

    def __init__(self, net: Supernet) -> None:
        self.calls = 0
        for block in net.slots.values():
            block.register_forward_hook(self.count)

    def count(self, *_) -> None:
        self.calls += 1


class TestTree:
    def test_branches_share_what_they_have_in_common(self):
        (archs,) = tree()
        subnets = [SPACE.decode(arch) for arch in archs]
        net = supernet().eval()
        counted = Counted(net)
        with torch.no_grad():
            run_tree(net, batch()[0], subnets)
        prefixes = {s.layers[: i + 1] for s in subnets for i in range(len(s.layers))}
        assert counted.calls == len(prefixes) < sum(len(s.layers) for s in subnets)

    def test_logits_and_gradients_are_those_of_the_single_paths(self):
        images, labels = batch()
        one, other = supernet().train(), supernet().train()
        learner = ForestLearner(one, replace(TREE, seed=5), Replica(), steps=100)
        drawn = draw_groups(SPACE, TREE, UniformSampler(SPACE), np.random.default_rng([5, 2, 0]))
        learner.step(0, images, labels)
        losses = [F.cross_entropy(other(images, SPACE.decode(arch)), labels) for arch in drawn[0]]
        torch.stack(losses).mean().backward()
        for (name, p), q in zip(one.named_parameters(), other.parameters(), strict=True):
            assert (p.grad is None) == (q.grad is None), name
            if p.grad is not None:
                torch.testing.assert_close(p.grad, q.grad, rtol=1e-4, atol=1e-6, msg=name)

    def test_every_tree_has_its_share(self):
        groups = tree(replace(TREE, subnets=6, trees=3))
        assert [len(group) for group in groups] == [2, 2, 2]

    def test_anchors_only_keeps_every_leaf_within_one_anchor(self):
        groups = draw_groups(
            SPACE,
            replace(TREE, trees=3),
            LeastTrainedSampler(SPACE),
            np.random.default_rng(0),
            anchors_only=True,
        )
        families = [{b.family for a in group for b in SPACE.decode(a).blocks} for group in groups]
        assert sorted(map(sorted, families)) == [["attention"], ["conv"], ["ssm"]]

    def test_early_options_are_trained_as_evenly_as_late_ones(self):
        sampler, rng = LeastTrainedSampler(SPACE), np.random.default_rng(0)
        seen = [np.zeros(len(choice.values)) for choice in SPACE.choices]
        for _ in range(200):
            (archs,) = draw_groups(SPACE, TREE, sampler, rng)
            for prefix in {(i, a.genes[: i + 1]) for a in archs for i in range(len(SPACE.choices))}:
                i, genes = prefix
                if SPACE.active([*genes, *[0] * (len(SPACE.choices) - i - 1)])[i]:
                    seen[i][genes[-1]] += 1
        unevenness = [counts.std() / counts.mean() for counts in seen if len(counts) > 1]
        assert max(unevenness) < 0.25, unevenness

    def test_largest_teaches_its_tree(self):
        groups = tree(replace(TREE, distill="largest"))
        assert len(SPACE.decode(groups[0][0]).blocks) == 9


class TestTargets:
    def test_a_teacher_is_heard_only_where_it_is_right_and_surer(self):
        labels = torch.tensor([0, 1, 0])
        teacher = torch.tensor([[3.0, 0.0], [3.0, 0.0], [1.0, 0.0]])
        students = torch.tensor([[[0.0, 0.0], [0.0, 0.0], [2.0, 0.0]]])
        assert better_teacher(teacher, students, labels).tolist() == [[True, False, False]]

    def test_the_best_teacher_is_kept_and_loses_its_place_when_it_gets_worse(self):
        teacher = BestTeacher(SPACE)
        archs = [SPACE.sample(np.random.default_rng(i)) for i in range(6)]
        assert teacher.arch is None
        teacher.update(archs, [1.0, 0.4, 1.2, 1.1, 1.3, 0.9], None)
        assert teacher.arch == archs[1]
        assert len(teacher.kept) == KEPT
        teacher.update([archs[0]], [0.8], 3.0)
        assert teacher.arch != archs[1]

    def test_a_teacher_changes_the_gradient_and_is_drawn_from_any_family(self):
        images, labels = batch(32)
        grads = []
        for distill in ("none", "best"):
            net = supernet().train()
            learner = ForestLearner(net, replace(TREE, distill=distill), Replica(), steps=100)
            for step in range(2):
                net.zero_grad()
                learner.step(step, images, labels)
            grads.append(net.block("head").full.classifier.weight.grad)
        assert not torch.equal(*grads)

    def test_in_place_distillation_needs_shared_images(self):
        with pytest.raises(ConfigError, match="distill 'largest' needs"):
            TrainConfig(mode="multi", distill="largest")


class TestDropPath:
    def outputs(self, rate: float, seed: int, arch) -> torch.Tensor:
        drop = DropPath(SPACE.fabric.slots(), rate, torch.Generator().manual_seed(seed))
        with torch.no_grad():
            return run_tree(supernet().train(), batch()[0], [SPACE.decode(arch)], drop)[0]

    def test_is_seeded_and_changes_the_outputs(self):
        arch = SPACE.extreme(largest=True)
        assert torch.equal(self.outputs(0.5, 1, arch), self.outputs(0.5, 1, arch))
        assert not torch.equal(self.outputs(0.5, 1, arch), self.outputs(0.5, 2, arch))

    def test_keeps_the_mean_and_leaves_other_layers_alone(self):
        subnet = SPACE.decode(SPACE.extreme(largest=True))
        last = max(i for i, layer in enumerate(subnet.layers) if layer.spec in subnet.blocks)
        drop = DropPath(SPACE.fabric.slots(), 0.5, torch.Generator().manual_seed(0))
        x, y = torch.zeros(4000, 1, 1, 1), torch.ones(4000, 1, 1, 1)
        dropped = drop(subnet.layers[last], x, y)
        assert set(dropped.flatten().tolist()) <= {0.0, 1 / (1 - drop.rates[subnet.layers[last].slot])}
        assert dropped.mean() == pytest.approx(1, abs=0.06)
        assert drop(subnet.layers[0], x, y) is y
        assert drop(subnet.layers[-1], x, y) is y

    def test_evaluation_is_not_affected(self):
        net = supernet().eval()
        subnet = SPACE.decode(SPACE.extreme(largest=True))
        with torch.no_grad():
            assert torch.equal(net(batch()[0], subnet), run_tree(net, batch()[0], [subnet])[0])


@pytest.mark.parametrize("mode", ["sandwich", "multi", "tree"])
def test_shared_batch_statistics_follow_every_run_of_a_layer_once(mode):
    net = supernet().train()
    config = TrainConfig(mode=mode, subnets=4, distill="none")
    images, labels = batch(16)
    ForestLearner(net, config, Replica(), steps=10).step(0, images, labels)
    groups = draw_groups(SPACE, config, UniformSampler(SPACE), np.random.default_rng([config.seed, 2, 0]))
    stems = sum(len({SPACE.decode(arch).layers[0] for arch in group}) for group in groups)
    norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert net.block("stem").full.conv.norm.num_batches_tracked == stems
    assert all(bool(norm.running_var.isfinite().all()) and norm.running_var.min() > 0 for norm in norms)
