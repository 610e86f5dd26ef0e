"""Linear probes of the stages of a subnet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from nas.data.load import ImageData, load_data
from nas.evaluate.accuracy import calibration_images
from nas.evaluate.evaluator import Evaluator
from nas.evaluate.probe import ProbeEvaluator, stage_ends, untrained_like
from nas.supernet.supernet import Supernet
from searchspaces.registry import get_space
from searchspaces.space import Arch
from tests.contracts.evaluator import EvaluatorContract

SPACE = get_space("hybrid-tiny")
CELLS = get_space("nasbench201-c4-n1-r8")


@pytest.fixture(scope="module")
def data() -> ImageData:
    return load_data("digits", limit=300)


@pytest.fixture(scope="module")
def supernet() -> Supernet:
    torch.manual_seed(1)
    return Supernet(SPACE, n_classes=10, in_channels=1, mean=[0.3], std=[0.4]).eval()


def probes(supernet: Supernet, data: ImageData) -> ProbeEvaluator:
    return ProbeEvaluator(supernet, data.train, data.val, calibration_images(data.train, n=32))


class TestProbeEvaluator(EvaluatorContract):
    """The contract, on an untrained supernet."""

    @pytest.fixture
    def evaluator(self, data: ImageData, supernet: Supernet) -> Evaluator:
        return probes(supernet, data)

    @pytest.fixture
    def archs(self) -> Sequence[Arch]:
        return [SPACE.sample(np.random.default_rng(seed)) for seed in range(3)]

    def test_an_arch_of_another_space_gets_an_error(self, evaluator: Evaluator) -> None:
        assert evaluator.evaluate([CELLS.extreme(largest=True)])[0].error


def test_a_probe_finds_the_classes_in_random_features(data: ImageData, supernet: Supernet) -> None:
    (found,) = probes(supernet, data).evaluate([SPACE.extreme(largest=True)])
    assert -0.9 < found.values["probe"] < -0.1  # guessing the mean scores -0.9


def test_the_gain_of_an_untrained_supernet_over_itself_is_nothing(
    data: ImageData, supernet: Supernet
) -> None:
    evaluator = probes(untrained_like(supernet, seed=0), data)
    (found,) = evaluator.evaluate([SPACE.extreme(largest=False)])
    assert found.values["probe_gain"] == pytest.approx(0, abs=1e-9)


def test_an_untrained_supernet_keeps_the_normalisation_and_the_global_seed(supernet: Supernet) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, again, other = (untrained_like(supernet, seed=seed) for seed in (0, 0, 1))
    assert torch.rand(1) == expected
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])
    assert any(not torch.equal(t, other.state_dict()[n]) for n, t in first.state_dict().items())
    for name in ("mean", "std"):
        wanted = supernet.block("stem").full.get_buffer(name)
        assert torch.equal(first.block("stem").full.get_buffer(name), wanted)


def test_stages_end_before_the_next_entry_and_the_head() -> None:
    spec = CELLS.decode(CELLS.extreme(largest=True))
    kinds = [layer.spec.kind for layer in spec.layers]
    assert kinds == ["cell_stem", "cell", "residual", "cell", "residual", "cell", "cell_head"]
    assert stage_ends(spec) == {2, 4, 6}
