"""Laws of the supernet: extraction, recalibration, folding, gradients, thread safety."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from nas.blocks.plain import PlainCall
from nas.supernet.extract import calibrate, extract_subnet, fold, recalibrate
from nas.supernet.stitching import anchor_subnet, entry_activations, fit_stitches
from nas.supernet.supernet import Supernet
from searchspaces.fabric import stitch_slot
from searchspaces.registry import get_space
from searchspaces.space import SearchSpace
from searchspaces.subnet import StitchSpec, SubnetSpec

SPACE = get_space("hybrid-tiny")


def randomised_supernet(space: SearchSpace = SPACE) -> Supernet:
    torch.manual_seed(0)
    supernet = Supernet(space, n_classes=5, in_channels=1, mean=[0.3], std=[0.5])
    with torch.no_grad():
        for name, tensor in [*supernet.named_parameters(), *supernet.named_buffers()]:
            if tensor.is_floating_point() and not name.endswith(("mean", "std")):
                tensor.add_(0.05 * torch.rand_like(tensor))
    return supernet.eval()


@pytest.fixture(scope="module")
def supernet() -> Supernet:
    return randomised_supernet()


def some_subnets(n: int, seed: int = 0) -> list[SubnetSpec]:
    rng = np.random.default_rng(seed)
    return [SPACE.decode(SPACE.sample(rng)) for _ in range(n)]


def images_for(subnet: SubnetSpec, n: int = 4) -> torch.Tensor:
    return torch.rand(n, 1, subnet.resolution, subnet.resolution, generator=torch.Generator().manual_seed(1))


def all_stitch_pairs() -> list[SubnetSpec]:
    """Subnets that together cross every stitch."""
    rng, wanted, found = np.random.default_rng(0), set(), []
    for position in SPACE.fabric.positions:
        wanted |= {stitch_slot(position.name, s.source, s.target) for s in position.stitches}
    for _ in range(2000):
        subnet = SPACE.decode(SPACE.sample(rng))
        new = {layer.slot for layer in subnet.layers if isinstance(layer.spec, StitchSpec)} & wanted
        if new:
            wanted -= new
            found.append(subnet)
    assert not wanted
    return found


def test_extracted_subnet_equals_supernet_path_over_every_stitch(supernet):
    with torch.no_grad():
        for subnet in all_stitch_pairs():
            x = images_for(subnet, 2)
            torch.testing.assert_close(
                extract_subnet(supernet, subnet)(x), supernet(x, subnet), rtol=0, atol=1e-5
            )


@pytest.mark.parametrize("subnet", some_subnets(6), ids=lambda s: f"{len(s.layers)}layers-{s.resolution}px")
def test_recalibrated_extracted_and_folded_agree(supernet, subnet):
    batches = [torch.rand(16, 1, 8, 8) for _ in range(2)]
    calibrated = recalibrate(supernet, subnet, batches)
    network = extract_subnet(calibrated, subnet)
    x = images_for(subnet)
    with torch.no_grad():
        path = calibrated(x, subnet)
        torch.testing.assert_close(network(x), path, rtol=0, atol=1e-5)
        torch.testing.assert_close(fold(network)(x), path, rtol=0, atol=1e-4)


def test_folding_leaves_no_batch_norm_and_refuses_train_mode(supernet):
    network = extract_subnet(supernet, some_subnets(1)[0])
    assert not any(isinstance(m, nn.BatchNorm2d) for m in fold(network).modules())
    with pytest.raises(ValueError, match="eval mode"):
        fold(network.train())


def test_recalibration_leaves_the_original_alone(supernet):
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    subnet = some_subnets(1)[0]
    clone = recalibrate(supernet, subnet, [torch.rand(16, 1, 8, 8) * 5])
    for name, tensor in supernet.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    changed = [n for n, b in clone.named_buffers() if not torch.equal(b, before[n])]
    assert changed
    assert next(clone.parameters()) is next(supernet.parameters())


def test_calibration_equals_statistics_of_the_images(supernet):
    network = extract_subnet(supernet, some_subnets(1)[0])
    images = torch.rand(32, 1, network.resolution, network.resolution)
    calibrate(network, [images])
    stem = network.body[0]
    with torch.no_grad():
        features = stem.conv.conv((images - stem.mean) / stem.std)
    torch.testing.assert_close(stem.conv.norm.running_mean, features.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(stem.conv.norm.running_var, features.var((0, 2, 3)), rtol=1e-4, atol=1e-5)


def test_extracted_weights_are_its_own(supernet):
    subnet = some_subnets(1)[0]
    x = images_for(subnet)
    with torch.no_grad():
        before = supernet(x, subnet)
        for tensor in extract_subnet(supernet, subnet).parameters():
            tensor.mul_(2)
        torch.testing.assert_close(supernet(x, subnet), before, rtol=0, atol=0)


def test_images_of_another_resolution_are_refused(supernet):
    subnet = some_subnets(1)[0]
    with pytest.raises(ValueError, match=f"takes {subnet.resolution}-pixel images"):
        supernet(torch.rand(1, 1, 5, 5), subnet)


def test_threads_do_not_disturb_each_other(supernet):
    subnets = some_subnets(8, seed=3)
    with torch.no_grad():
        expected = [supernet(images_for(s), s) for s in subnets]

        def run(i: int) -> bool:
            with torch.no_grad():
                return torch.equal(supernet(images_for(subnets[i]), subnets[i]), expected[i])

        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(run, [i % len(subnets) for i in range(80)]))


def test_plain_layers_rebuild_the_network(supernet):
    network = extract_subnet(supernet, some_subnets(1, seed=5)[0])
    for layer in network.layers:
        rebuilt = PlainCall(layer.cls, tuple(layer.kwargs.items())).build()
        assert rebuilt.state_dict().keys() == network.body.get_submodule(layer.name).state_dict().keys()


class TestFitStitches:
    def test_closed_form_start_is_nearer_than_the_identity_for_every_pair(self):
        supernet = randomised_supernet()
        images = torch.rand(32, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        fit_stitches(supernet, images, seed=0)
        rng = np.random.default_rng([0, 1])
        arrivals = {
            anchor: entry_activations(supernet, anchor_subnet(SPACE, anchor, rng), images)
            for anchor in SPACE.fabric.anchors
        }
        for position in SPACE.fabric.positions:
            for stitch in position.stitches:
                x, y = arrivals[stitch.source][position.name], arrivals[stitch.target][position.name]
                block = supernet.block(stitch_slot(position.name, stitch.source, stitch.target)).full.map
                mapped = x @ block.weight.flatten(1).T + block.bias
                assert (mapped - y).square().mean() < (x - y).square().mean()

    def test_anchor_paths_cross_no_stitch(self):
        rng = np.random.default_rng(0)
        for anchor in SPACE.fabric.anchors:
            subnet = anchor_subnet(SPACE, anchor, rng)
            assert {block.family for block in subnet.blocks} == {anchor}
            assert not any(isinstance(layer.spec, StitchSpec) for layer in subnet.layers)
