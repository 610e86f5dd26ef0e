"""Smoothing by a law, and the probes of every layer."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nas.data.types import Split
from nas.errors import ConfigError
from nas.evaluate.layer_probe import REFERENCES, LayerProbeEvaluator, probed_layers
from nas.evaluate.smooth import smoothed
from nas.supernet.supernet import Supernet
from searchspaces.registry import get_space
from searchspaces.space import Arch
from searchspaces.subnet import SubnetSpec

SIZES = get_space("nats-size-d8-r8")


def archs_of(name: str, n: int) -> list[Arch]:
    space, rng = get_space(name), np.random.default_rng(0)
    return [space.sample(rng) for _ in range(n)]


def test_a_law_of_log_widths_is_found_under_noise() -> None:
    archs = archs_of("nats-size-d8-r8", 300)
    weights = np.array([0.22, 0.15, 0.26, 0.2, 0.17])
    law = np.array([weights @ np.log([float(v) for v in SIZES.values(arch).values()]) for arch in archs])
    noisy = law + np.random.default_rng(1).normal(0, law.std(), len(law))
    found = smoothed(SIZES, archs, noisy.tolist())
    assert np.corrcoef(found, law)[0, 1] > 0.97
    assert np.corrcoef(noisy, law)[0, 1] < 0.8


def test_where_not_all_choices_are_sizes_the_view_that_predicts_the_estimates_frees_them_of_noise() -> None:
    space, archs = get_space("nasbench201"), archs_of("nasbench201", 200)
    counts = space.features(np.array([arch.genes for arch in archs]))["counts"]
    law = counts @ np.linspace(-1, 1, counts.shape[1])
    noisy = law + np.random.default_rng(1).normal(0, 0.5 * law.std(), len(law))
    found = smoothed(space, archs, noisy.tolist())
    assert np.corrcoef(found, law)[0, 1] > 0.97 > np.corrcoef(noisy, law)[0, 1]


def test_constant_estimates_and_inactive_choices_are_harmless() -> None:
    np.testing.assert_allclose(smoothed(SIZES, archs_of("nats-size-d8-r8", 5), [2.0] * 5), 2.0)
    operators = archs_of("nasbench201", 5)
    np.testing.assert_allclose(smoothed(get_space("nasbench201"), operators, [2.0] * 5), 2.0)
    archs = archs_of("hybrid-tiny", 20)
    assert np.isfinite(smoothed(get_space("hybrid-tiny"), archs, list(np.arange(20.0)))).all()


@pytest.mark.parametrize("estimates", [[1.0], [1.0, float("nan")], [1.0, 2.0, 3.0]])
def test_bad_estimates_are_refused(estimates: list[float]) -> None:
    with pytest.raises(ConfigError, match="estimates must be 2 finite numbers"):
        smoothed(SIZES, archs_of("nats-size-d8-r8", 2), estimates)


def test_probed_layers_differ_among_subnets_and_lie_behind_the_first_halving() -> None:
    def slots(name: str) -> list[str]:
        specs = [get_space(name).decode(arch) for arch in archs_of(name, 30)]
        return [specs[0].layers[i].slot for i in probed_layers(specs)]

    assert slots("nats-size-d8-r8") == ["s1.c0/cell", "s2.c0/downsample", "s2.c0/cell"]
    assert slots("nasbench201-c4-n1-r8") == ["s1.c0/cell", "s2.c0/cell"]


def test_without_a_halving_all_layers_between_stem_and_head_are_probed() -> None:
    specs = [SIZES.decode(SIZES.extreme(largest=largest)) for largest in (True, False)]
    flat = [SubnetSpec(8, (spec.layers[0], spec.layers[1], spec.layers[-1])) for spec in specs]
    assert probed_layers(flat) == [1]


def images_and_labels(coloured: bool) -> tuple[Split, Split]:
    """Training and validation images of three classes; grey values tell them apart where ``coloured``."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 240)
    noise = rng.integers(0, 256, (240, 1, 8, 8), dtype=np.uint8)
    images = (60 * labels[:, None, None, None] + noise // 4).astype(np.uint8) if coloured else noise
    return Split(images[:160], labels[:160]), Split(images[160:], labels[160:])


def layer_probes(train: Split, val: Split) -> LayerProbeEvaluator:
    torch.manual_seed(0)
    supernet = Supernet(SIZES, n_classes=3, in_channels=1).eval()
    return LayerProbeEvaluator(supernet, train, val, [torch.from_numpy(train.images[:64]).float() / 255])


def test_an_informative_image_is_probed_better_than_noise() -> None:
    noise, coloured = (layer_probes(*images_and_labels(kind)) for kind in (False, True))
    assert (coloured.mean < noise.mean - 0.1).all()


def test_every_layer_counts_in_its_own_standard_deviations() -> None:
    evaluator = layer_probes(*images_and_labels(True))
    rng = np.random.default_rng([0, 12])
    references = [SIZES.sample(rng) for _ in range(REFERENCES)]
    scores = [evaluation.values["layer_probe"] for evaluation in evaluator.evaluate(references)]
    assert np.mean(scores) == pytest.approx(0, abs=1e-6)
    widest, narrowest = (SIZES.extreme(largest=largest) for largest in (True, False))
    wide, narrow, other = evaluator.evaluate([widest, narrowest, Arch("other@1", (0,))])
    assert wide.values["layer_probe"] > narrow.values["layer_probe"]
    assert other.error is not None


def test_subnets_of_different_layers_are_refused() -> None:
    supernet = Supernet(get_space("hybrid-tiny"), n_classes=3, in_channels=1).eval()
    train, val = images_and_labels(False)
    with pytest.raises(ConfigError, match="needs a space whose subnets have the same layers"):
        LayerProbeEvaluator(supernet, train, val, [])
