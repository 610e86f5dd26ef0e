"""Stitching family anchors: the closed-form start, the phases, exact resume, refusals, extraction."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from nas.blocks.stitch import ElasticStitch
from nas.data.load import ImageData, load_data
from nas.errors import CheckpointError, ConfigError
from nas.stitching.fit import cut_features, fit_anchor_stitches
from nas.stitching.train import DEFAULTS, Phases, anchor_of, train_stitched
from nas.supernet.checkpoint import load_supernet, save_supernet
from nas.supernet.config import TrainConfig
from nas.supernet.extract import extract_subnet, fold
from nas.supernet.resize import to_float
from nas.supernet.supernet import Supernet
from nas.supernet.train import train
from nas.supernet.training.samplers.cost_balanced import BINS
from nas.supernet.training.samplers.registry import make_sampler
from searchspaces.cost import cost
from searchspaces.registry import get_space
from searchspaces.routes import arch_of_route
from searchspaces.subnet import StitchSpec

SPACE = get_space("stitched2-tiny")
CONFIG = TrainConfig(**DEFAULTS, epochs=3, batch_size=64, checkpoint_seconds=1e3, threads=1, augment="none")
CUT = 3


@pytest.fixture(scope="module")
def data() -> ImageData:
    return load_data("digits", limit=256)


def fresh(space=SPACE) -> Supernet:
    torch.manual_seed(0)
    return Supernet(space, n_classes=10, in_channels=1, mean=[0.3], std=[0.4])


@pytest.fixture(scope="module")
def anchors_trained(tmp_path_factory):
    """A supernet whose anchors were trained alone and whose stitches were not touched."""
    data = load_data("digits", limit=600)
    supernet = fresh()
    config = Phases.of(replace(CONFIG, epochs=8, anchor_fraction=0.7)).anchor
    for name in SPACE.fabric.anchors:
        alone = anchor_of(supernet, name)
        train(alone, data, config, folder=tmp_path_factory.mktemp(name))
        supernet.load_state_dict(alone.state_dict(), strict=False)
    return supernet, data


def loss_of(supernet: Supernet, route: str, data: ImageData) -> float:
    images, labels = to_float(torch.from_numpy(data.val.images)), torch.from_numpy(data.val.labels)
    with torch.no_grad():  # batch statistics: those of this path
        return float(
            F.cross_entropy(supernet.train()(images, SPACE.decode(arch_of_route(SPACE, route))), labels)
        )


def test_least_squares_beats_a_random_start_for_every_ordered_family_pair(anchors_trained):
    supernet, data = anchors_trained
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    torch.manual_seed(1)
    for stitch in (m for m in supernet.modules() if isinstance(m, ElasticStitch)):
        width, in_width = stitch.full.get_parameter("map.weight").shape[:2]
        stitch.set_base(torch.randn(width, in_width) / in_width**0.5, torch.zeros(width))
    routes = [f"{a}@{CUT}>{b}" for a, b in permutations(SPACE.fabric.anchors, 2)]
    random = {route: loss_of(supernet, route, data) for route in routes}
    fit_anchor_stitches(supernet, to_float(torch.from_numpy(data.train.images[:512])))
    for route in routes:
        assert loss_of(supernet, route, data) < random[route], route
    supernet.load_state_dict(before)


def test_fitting_leaves_running_statistics_alone(anchors_trained):
    supernet, data = anchors_trained
    before = {name: buffer.clone() for name, buffer in supernet.named_buffers()}
    features = cut_features(supernet, "conv", to_float(torch.from_numpy(data.train.images[:64])))
    assert sorted(features) == list(range(1, SPACE.fabric.n_cuts + 1))
    assert all(torch.equal(buffer, before[name]) for name, buffer in supernet.named_buffers())


def test_merged_and_folded_equal_the_route_of_the_supernet():
    supernet = fresh().eval()
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.add_(0.02 * torch.rand_like(parameter))
    x = torch.rand(3, 1, 8, 8)
    with torch.no_grad():
        for arch in list(SPACE.archs())[::9]:
            subnet = SPACE.decode(arch)
            network = extract_subnet(supernet, subnet)
            torch.testing.assert_close(network(x), supernet(x, subnet), rtol=0, atol=1e-5)
            torch.testing.assert_close(fold(network)(x), supernet(x, subnet), rtol=0, atol=1e-4)


def test_a_merged_stitch_equals_base_plus_low_rank_update():
    torch.manual_seed(0)
    spec = StitchSpec("conv", "ssm", 24, 48)
    stitch = ElasticStitch(spec)
    stitch.set_base(torch.randn(48, 24), torch.randn(48))
    with torch.no_grad():
        stitch.up.normal_()
        x = torch.randn(2, 24, 5, 5)
        weight, bias = stitch.full.get_parameter("map.weight"), stitch.full.get_parameter("map.bias")
        low = F.conv2d(F.conv2d(x, stitch.down[:, :, None, None]), stitch.up[:, :, None, None])
        unmerged = F.conv2d(x, weight, bias) + low
        torch.testing.assert_close(stitch.extract(spec)(x), unmerged, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["stitched2-tiny", "stitched2-cifar"])
def test_sampled_costs_are_flat_over_the_bins(name):
    space = get_space(name)
    supernet = Supernet(space, n_classes=10, in_channels=3)
    sampler = make_sampler(supernet, replace(CONFIG, sampler="cost_balanced"))
    rng = np.random.default_rng(0)
    counts = np.zeros(BINS)
    for _ in range(400):
        subnet = space.decode(space.arch(sampler.genes(rng)))
        counts[sampler.bin_of(cost(subnet, in_channels=3, n_classes=10).macs)] += 1
    counts = counts[[bool(pool) for pool in sampler.pool]]  # intervals of cost that hold a route
    assert len(counts) >= 5
    assert np.all(np.abs(counts / counts.mean() - 1) <= 0.2), counts


def stop_after(n: int):
    calls = iter(range(n + 1))
    return lambda: next(calls, n) >= n


def final_weights(folder, data, stops=()):
    for n in stops:
        assert not train_stitched(fresh(), data, CONFIG, folder=folder, should_stop=stop_after(n)).completed
    result = train_stitched(fresh(), data, CONFIG, folder=folder)
    assert result.completed
    assert result.step == result.steps
    return load_supernet(folder).state_dict()


def test_interrupted_training_ends_with_the_same_bits(data, tmp_path):
    whole = final_weights(tmp_path / "whole", data)
    parts = final_weights(tmp_path / "parts", data, stops=(3, 6, 2, 3))  # in anchors and among all routes
    for name, tensor in whole.items():
        assert torch.equal(tensor, parts[name]), name


def test_progress_counts_over_all_phases(data, tmp_path):
    seen = []
    train_stitched(fresh(), data, CONFIG, folder=tmp_path, report=seen.append)
    assert [p.step for p in seen] == list(range(1, seen[-1].steps + 1))
    assert list(dict.fromkeys(p.phase for p in seen)) == [
        "anchor conv",
        "anchor attention",
        "anchor ssm",
        "joint",
    ]
    for name in SPACE.fabric.anchors:  # the anchors stay, each a supernet of its own
        assert load_supernet(tmp_path / "anchors" / name).space.size() == 1


def test_given_anchors_are_taken_as_they_are(data, tmp_path):
    given = Supernet(get_space("anchor-tiny-conv"), n_classes=10, in_channels=1)
    with torch.no_grad():
        given.block("conv/head").full.get_parameter("classifier.bias").fill_(3.0)
    save_supernet(tmp_path / "mine", given, info={})
    supernet, seen = fresh(), []
    train_stitched(
        supernet,
        data,
        CONFIG,
        folder=tmp_path / "run",
        anchors={"conv": tmp_path / "mine"},
        report=lambda p: seen.append(p.phase),
    )
    assert "anchor conv" not in seen
    assert supernet.block("conv/head").full.get_parameter("classifier.bias").mean() > 2


@pytest.mark.parametrize(
    ("space", "channels", "anchor", "message"),
    [
        ("anchor-tiny-ssm", 1, "conv", "space is 'anchor-tiny-ssm@1'.*needs 'anchor-tiny-conv@1'"),
        ("anchor-cifar-conv", 1, "conv", "space is 'anchor-cifar-conv@1'.*needs 'anchor-tiny-conv@1'"),
        ("anchor-tiny-conv", 3, "conv", "in_channels is 3.*needs 1"),
        ("anchor-tiny-conv", 1, "mlp", "no anchor 'mlp'.*conv, attention, ssm"),
    ],
)
def test_anchors_that_do_not_fit_are_refused_before_training(
    data, tmp_path, space, channels, anchor, message
):
    save_supernet(tmp_path / "mine", Supernet(get_space(space), n_classes=10, in_channels=channels), info={})
    seen = []
    with pytest.raises(CheckpointError, match=message):
        train_stitched(
            fresh(),
            data,
            CONFIG,
            folder=tmp_path / "run",
            anchors={anchor: tmp_path / "mine"},
            report=seen.append,
        )
    assert not seen
    assert not (tmp_path / "run").exists()


def test_frozen_anchors_stay_the_networks_that_they_were(data, tmp_path):
    supernet = fresh()
    config = replace(CONFIG, frozen="anchors")
    assert not train_stitched(supernet, data, config, folder=tmp_path, should_stop=stop_after(9)).completed
    assert train_stitched(supernet, data, config, folder=tmp_path).completed
    joint = dict(supernet.named_parameters())
    for anchor in SPACE.fabric.anchors:
        for name, parameter in load_supernet(tmp_path / "anchors" / anchor).named_parameters():
            assert torch.equal(joint[name], parameter), name
    assert any(name.endswith("up") and parameter.abs().sum() > 0 for name, parameter in joint.items())
    assert [p.requires_grad for p in joint.values()] == [p.requires_grad for p in fresh().parameters()]


def test_no_epoch_for_the_routes_is_refused():
    with pytest.raises(ConfigError, match="anchor_fraction"):
        Phases.of(replace(CONFIG, anchor_fraction=1.0))


def test_a_space_without_anchors_of_its_own_is_refused(data, tmp_path):
    with pytest.raises(TypeError, match="hybrid-tiny"):
        train_stitched(fresh(get_space("hybrid-tiny-r8")), data, CONFIG, folder=tmp_path)
