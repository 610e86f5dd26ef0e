from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictors.features import columns, features, quantities
from searchspaces.parts import SizedLayer, sized_layers
from searchspaces.registry import get_space
from searchspaces.subnet import AttentionSpec, LayerSpec, MBConvSpec, SSMSpec
from tests.contracts.predictor import sample_archs

SPACE = get_space("hybrid-tiny")
NAMES = columns(SPACE)


@given(st.integers(0, 2**32 - 1))
def test_features_are_sums_over_layers(seed: int) -> None:
    arch = SPACE.sample(np.random.default_rng(seed))
    row = dict(zip(NAMES, features(SPACE, [arch], NAMES)[0], strict=True))
    expected = dict.fromkeys(NAMES, 0.0)
    for layer in sized_layers(SPACE.decode(arch)):
        for name, amount in quantities(layer).items():
            expected[f"{layer.spec.kind}.{name}"] += amount
            expected[f"all.{name}"] += amount
    assert row == pytest.approx(expected)


def test_rows_do_not_depend_on_each_other() -> None:
    archs = sample_archs(SPACE, 30)
    together = features(SPACE, archs, NAMES)
    np.testing.assert_allclose(together[::-1], features(SPACE, archs[::-1], NAMES))
    np.testing.assert_allclose(together[7:8], features(SPACE, archs[7:8], NAMES))


def test_no_archs_make_no_rows() -> None:
    assert features(SPACE, [], NAMES).shape == (0, len(NAMES))


@pytest.mark.parametrize(
    "name", ["hybrid-tiny", "hybrid-cifar", "hybrid-cifar-r32-64", "nats-size", "nasbench201"]
)
def test_columns_cover_every_layer_of_the_space(name: str) -> None:
    space = get_space(name)
    names = columns(space)
    table = features(space, sample_archs(space, 300), names)  # a missing column would be a KeyError
    assert np.isfinite(table).all()
    assert (table >= 0).all()


@pytest.mark.parametrize(
    ("spec", "smaller"),
    [
        (MBConvSpec(16, 5, 4), {"expansion": 2}),
        (AttentionSpec(32, 4, 8, 2), {"heads": 2}),
        (SSMSpec(32, 8, 16, 4, 2), {"state": 4}),
        (SSMSpec(32, 8, 16, 4, 2), {"directions": 1}),
    ],
)
def test_more_of_anything_never_computes_less(spec: LayerSpec, smaller: dict[str, int]) -> None:
    large = quantities(SizedLayer(spec, 12))
    small = quantities(SizedLayer(replace(spec, **smaller), 12))
    assert set(small) == set(large)
    assert all(small[name] <= large[name] for name in large)
    assert small != large


def test_attention_grows_with_the_square_of_the_tokens() -> None:
    small = quantities(SizedLayer(AttentionSpec(32, 4, 8, 2), 6))
    large = quantities(SizedLayer(AttentionSpec(32, 4, 8, 2), 12))
    assert large["token_pairs"] == pytest.approx(16 * small["token_pairs"])
    assert large["matmul"] == pytest.approx(4 * small["matmul"])
