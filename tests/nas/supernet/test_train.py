"""Training: it learns, it repeats itself, it resumes exactly, it refuses what is not its own."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from nas.data.load import ImageData, load_data
from nas.errors import CheckpointError, ConfigError
from nas.evaluate.accuracy import SupernetEvaluator, calibration_images
from nas.supernet.checkpoint import (
    load_supernet,
    save_supernet,
    supernet_arrays,
    supernet_from_arrays,
    supernet_header,
)
from nas.supernet.config import TrainConfig
from nas.supernet.supernet import Supernet
from nas.supernet.train import total_steps, train
from nas.supernet.training.augment import augment
from nas.supernet.training.draw import draw_groups
from nas.supernet.training.samplers.uniform import UniformSampler
from searchspaces.registry import get_space

SPACE = get_space("hybrid-tiny-r8")
QUICK = TrainConfig(epochs=2, batch_size=64, checkpoint_seconds=1e3, threads=1)


@pytest.fixture(scope="module")
def data() -> ImageData:
    return load_data("digits", limit=256)


def fresh() -> Supernet:
    torch.manual_seed(0)
    return Supernet(SPACE, n_classes=10, in_channels=1, mean=[0.3], std=[0.4])


def stop_after(n: int):
    calls = iter(range(n + 1))
    return lambda: next(calls, n) >= n


@pytest.mark.parametrize("mode", ["multi", "sandwich", "tree"])
def test_training_lowers_the_loss(data, tmp_path, mode):
    losses = []
    config = replace(QUICK, mode=mode, epochs=8 if mode == "multi" else 4, augment="none")
    result = train(fresh(), data, config, folder=tmp_path, report=lambda p: losses.append(p.loss))
    assert result.completed
    assert result.step == len(losses) == total_steps(len(data.train.labels), config)
    assert np.mean(losses[-3:]) < 0.9 * np.mean(losses[:3])


def final_weights(folder, data, config, stops=()):
    for n in stops:
        assert not train(fresh(), data, config, folder=folder, should_stop=stop_after(n)).completed
    assert train(fresh(), data, config, folder=folder).completed
    return load_supernet(folder).state_dict()


@pytest.mark.parametrize(
    "config",
    [
        replace(QUICK, anchor_fraction=0.5, stitch_init="least_squares"),
        replace(QUICK, mode="sandwich", subnets=3, drop_path=0.2),
        replace(QUICK, mode="tree", trees=2, sampler="least_trained", distill="best", drop_path=0.2),
        replace(QUICK, mode="multi", sampler="cost_balanced", distill="best"),
        replace(QUICK, mode="sandwich_tree"),
        replace(QUICK, mode="blockwise", subnets=2, epochs=2),
    ],
    ids=[
        "multi",
        "sandwich",
        "tree-least_trained-best",
        "multi-cost_balanced-best",
        "sandwich_tree",
        "blockwise",
    ],
)
def test_interrupted_training_ends_with_the_same_bits(data, tmp_path, config):
    whole = final_weights(tmp_path / "whole", data, config)
    parts = final_weights(tmp_path / "parts", data, config, stops=(1, 2))
    assert whole.keys() == parts.keys()
    for name, tensor in whole.items():
        assert torch.equal(tensor, parts[name]), name


def test_state_is_removed_when_training_is_complete(data, tmp_path):
    train(fresh(), data, replace(QUICK, epochs=1), folder=tmp_path)
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".json", ".safetensors"]


@pytest.mark.parametrize(
    ("change", "message"), [({"lr": 1e-3}, "config was .*'lr': 0.004"), ({"seed": 7}, "config was")]
)
def test_state_of_another_run_is_refused(data, tmp_path, change, message):
    train(fresh(), data, QUICK, folder=tmp_path, should_stop=stop_after(1))
    with pytest.raises(CheckpointError, match=message):
        train(fresh(), data, replace(QUICK, **change), folder=tmp_path)


def test_state_of_other_data_is_refused(data, tmp_path):
    train(fresh(), data, QUICK, folder=tmp_path, should_stop=stop_after(1))
    other = load_data("digits", limit=200)
    with pytest.raises(CheckpointError, match="data_digest was"):
        train(fresh(), other, QUICK, folder=tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs must lie in 1"),
        ({"lr": float("nan")}, "lr must lie in .* got nan"),
        ({"mode": "both"}, "mode must be one of"),
        ({"mode": "sandwich", "subnets": 2}, "subnets must lie in 3"),
        ({"batch_size": 2, "subnets": 4}, "subnets must not exceed batch_size 2"),
        ({"mode": "tree", "subnets": 8, "trees": 3}, "trees must divide subnets 8; got 3"),
        ({"mode": "sandwich_tree", "subnets": 8, "trees": 2}, "trees must be 1 in mode 'sandwich_tree'"),
        ({"sampler": "greedy"}, "sampler must be one of"),
        ({"drop_path": 1.0}, "drop_path must lie in"),
    ],
)
def test_bad_configuration_names_the_field(change, message):
    with pytest.raises(ConfigError, match=message):
        replace(TrainConfig(), **change)


def test_learning_rate_warms_up_and_falls():
    rates = [TrainConfig(lr=1.0).lr_at(step, 100) for step in range(100)]
    assert rates.index(max(rates)) in (9, 10)
    assert rates[0] == pytest.approx(0.1)
    assert rates[-1] < 0.02


class TestCheckpoint:
    def test_round_trip(self, tmp_path):
        supernet = fresh()
        digest = save_supernet(tmp_path, supernet, info={"data": "digits"})
        loaded = load_supernet(tmp_path)
        assert json.loads((tmp_path / "supernet.json").read_text())["sha256"] == digest
        for name, tensor in supernet.state_dict().items():
            assert torch.equal(tensor, loaded.state_dict()[name])

    def test_half_precision_is_half_the_size_and_comes_back_as_float32(self, tmp_path):
        supernet = fresh()
        save_supernet(tmp_path / "full", supernet, info={})
        save_supernet(tmp_path / "half", supernet, info={}, dtype=torch.float16)
        full, half = (next((tmp_path / n).glob("*.safetensors")).stat().st_size for n in ("full", "half"))
        assert half < 0.7 * full
        for name, tensor in load_supernet(tmp_path / "half").state_dict().items():
            expected = supernet.state_dict()[name]
            assert tensor.dtype == expected.dtype
            torch.testing.assert_close(tensor, expected, rtol=1e-3, atol=1e-6)

    def test_a_value_too_large_for_half_precision_is_refused(self, tmp_path):
        supernet = fresh()
        with torch.no_grad():
            next(supernet.parameters()).fill_(1e6)
        with pytest.raises(CheckpointError, match=r"too large for torch\.float16"):
            save_supernet(tmp_path, supernet, info={}, dtype=torch.float16)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
    def test_damaged_tensors_are_refused_by_name(self, tmp_path, damage):
        save_supernet(tmp_path, fresh(), info={})
        file = next(tmp_path.glob("*.safetensors"))
        content = bytearray(file.read_bytes())
        content[-5] ^= 1
        match damage:
            case "flip":
                file.write_bytes(content)
            case "truncate":
                file.write_bytes(content[:-100])
            case "remove":
                file.unlink()
        with pytest.raises(CheckpointError, match=file.name):
            load_supernet(tmp_path)

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"tensors": 3}', "not json"])
    def test_damaged_header_is_refused_by_name(self, tmp_path, text):
        save_supernet(tmp_path, fresh(), info={})
        (tmp_path / "supernet.json").write_text(text)
        with pytest.raises(CheckpointError, match=r"supernet\.json"):
            load_supernet(tmp_path)

    def test_header_cannot_point_outside_its_folder(self, tmp_path):
        save_supernet(tmp_path / "a", fresh(), info={})
        header = json.loads((tmp_path / "a" / "supernet.json").read_text())
        header["tensors"] = f"../a/{header['tensors']}"
        (tmp_path / "b").mkdir()
        (tmp_path / "b" / "supernet.json").write_text(json.dumps(header))
        with pytest.raises(CheckpointError, match="cannot be read"):
            load_supernet(tmp_path / "b")

    def test_another_space_is_refused(self, tmp_path):
        save_supernet(tmp_path, fresh(), info={})
        path = tmp_path / "supernet.json"
        path.write_text(path.read_text().replace("hybrid-tiny-r8@1", "hybrid-tiny-r8@0"))
        with pytest.raises(CheckpointError, match="made for hybrid-tiny-r8@0"):
            load_supernet(tmp_path)

    def test_arrays_are_used_without_a_copy(self):
        supernet = fresh().eval()
        arrays = {name: array.copy() for name, array in supernet_arrays(supernet).items()}
        for array in arrays.values():
            array.flags.writeable = False
        borrowed = supernet_from_arrays(arrays, supernet_header(supernet))
        for name, parameter in borrowed.named_parameters():
            assert parameter.data_ptr() == arrays[name].ctypes.data
        subnet = SPACE.decode(SPACE.extreme(largest=True))
        x = torch.rand(2, 1, 8, 8)
        with torch.no_grad():
            assert torch.equal(borrowed(x, subnet), supernet(x, subnet))


def drawn(config, rng, *, anchors_only=False):
    groups = draw_groups(SPACE, config, UniformSampler(SPACE), rng, anchors_only=anchors_only)
    return [arch for group in groups for arch in group]


class TestSampling:
    def test_sandwich_starts_with_largest_and_smallest(self):
        config = TrainConfig(mode="sandwich", subnets=4)
        archs = drawn(config, np.random.default_rng(0))
        blocks = [len(SPACE.decode(arch).blocks) for arch in archs]
        assert blocks[0] == 9
        assert blocks[1] == 4
        assert len(archs) == 4

    def test_sandwich_tree_starts_with_the_extremes_and_shares_the_rest(self):
        archs = drawn(TrainConfig(mode="sandwich_tree", subnets=8), np.random.default_rng(0))
        subnets = [SPACE.decode(arch) for arch in archs]
        assert [len(subnet.blocks) for subnet in subnets[:2]] == [9, 4]
        assert len({subnet.layers[0] for subnet in subnets[2:]}) < len(subnets) - 2

    def test_anchors_take_turns(self):
        config = TrainConfig(mode="multi", subnets=3)
        archs = drawn(config, np.random.default_rng(0), anchors_only=True)
        families = [{block.family for block in SPACE.decode(arch).blocks} for arch in archs]
        assert sorted(map(list, families)) == [["attention"], ["conv"], ["ssm"]]

    def test_every_option_is_drawn(self):
        rng, config = np.random.default_rng(0), TrainConfig(subnets=8)
        genes = np.array([a.genes for _ in range(60) for a in drawn(config, rng)])
        for column, choice in zip(genes.T, SPACE.choices, strict=True):
            assert set(column) == set(range(len(choice.values))), choice.name


class TestAugment:
    @pytest.mark.parametrize("kind", ["none", "affine", "crop-flip"])
    def test_keeps_shape_and_repeats_under_a_seed(self, kind):
        images = torch.rand(16, 3, 9, 11)
        first, second = (augment(images, kind, torch.Generator().manual_seed(3)) for _ in range(2))
        assert first.shape == images.shape
        assert torch.equal(first, second)
        assert torch.equal(first, images) == (kind == "none")

    def test_crops_hold_pixels_of_their_own_image(self):
        images = torch.arange(1.0, 9.0).reshape(8, 1, 1, 1).expand(8, 1, 8, 8)
        cropped = augment(images, "crop-flip", torch.Generator().manual_seed(0))
        for i, image in enumerate(cropped):
            assert set(image.unique().tolist()) <= {0.0, float(i + 1)}


def test_evaluator_is_deterministic_and_reports_foreign_archs(data):
    evaluator = SupernetEvaluator(fresh().eval(), data.val, calibration_images(data.train, n=64))
    archs = [SPACE.sample(np.random.default_rng(i)) for i in range(2)]
    foreign = get_space("hybrid-cifar").extreme(largest=False)
    first, second = evaluator.evaluate([*archs, foreign]), evaluator.evaluate([*archs, foreign])
    assert first == second
    assert [e.arch for e in first] == [*archs, foreign]
    assert all(0 <= e.values["top1"] <= 1 for e in first[:2])
    assert "hybrid-cifar@1" in str(first[2].error)
