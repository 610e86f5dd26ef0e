"""Main effects of choices: recovered from noisy losses, refused where they cannot be fitted or read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from predictors.accuracy.effects import ChoiceEffects, FloatArray, IntArray, has_effects
from predictors.errors import CorruptFitError, InvalidValueError
from searchspaces.genes import one_hot, option_counts, sample_genes
from searchspaces.registry import get_space

SPACE = get_space("hybrid-tiny")
OPTIONS = int(option_counts(SPACE).sum())
ROUNDS, SUBNETS = 80, 8


def observations(seed: int, noise: float, *, images: float = 1.0) -> tuple[IntArray, FloatArray, FloatArray]:
    """Genes, losses, and the effects behind them; ``images`` is how much the images of rounds differ."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(0.0, 0.05, OPTIONS)
    genes = sample_genes(SPACE, ROUNDS * SUBNETS, rng)
    losses = (one_hot(SPACE, genes) @ truth).reshape(ROUNDS, SUBNETS) + 1.5
    losses += images * rng.normal(size=(ROUNDS, 1)) + noise * rng.normal(size=losses.shape)
    return genes.reshape(ROUNDS, SUBNETS, -1), losses, truth


def fitted(genes: IntArray, losses: FloatArray) -> ChoiceEffects:
    return ChoiceEffects.fit(SPACE, "d" * 64, genes, losses, n_images=64)


@pytest.mark.parametrize(("noise", "rank"), [(0.0, 0.999), (0.1, 0.9)])
def test_losses_of_single_batches_add_up_to_the_order_of_subnets(noise: float, rank: float) -> None:
    genes, losses, truth = observations(1, noise)
    others = sample_genes(SPACE, 500, np.random.default_rng(5))
    effects = fitted(genes, losses)
    assert spearmanr(effects(others), one_hot(SPACE, others) @ truth).statistic > rank
    assert (effects.n_subnets, effects.n_images) == (ROUNDS * SUBNETS, 64)


@settings(deadline=None, max_examples=5)
@given(shift=st.floats(-100, 100))
def test_how_hard_the_images_of_a_round_are_changes_nothing(shift: float) -> None:
    genes, losses, _ = observations(2, 0.05)
    moved = losses.copy()
    moved[3] += shift
    np.testing.assert_allclose(fitted(genes, moved).weights, fitted(genes, losses).weights, atol=1e-9)


def test_rounds_with_losses_that_are_not_finite_are_left_out() -> None:
    genes, losses, _ = observations(3, 0.05)
    losses[0, 2] = np.nan
    effects = fitted(genes, losses)
    assert effects.n_subnets == (ROUNDS - 1) * SUBNETS
    np.testing.assert_array_equal(effects.weights, fitted(genes[1:], losses[1:]).weights)
    with pytest.raises(InvalidValueError, match="losses must be finite in one round"):
        fitted(genes, np.full_like(losses, np.inf))


def test_losses_and_genes_must_go_together() -> None:
    genes, losses, _ = observations(4, 0.05)
    with pytest.raises(InvalidValueError, match=r"got losses \(80, 7\) of genes \(80, 8, "):
        fitted(genes, losses[:, :-1])
    with pytest.raises(InvalidValueError, match="2 or more to a round"):
        fitted(genes[:, :1], losses[:, :1])


def test_choices_that_change_nothing_have_no_effect() -> None:
    genes, losses, _ = observations(5, 0.0)
    assert not fitted(genes, np.ones_like(losses)).weights.any()


def test_what_was_saved_is_read_again(tmp_path: Path) -> None:
    effects = fitted(*observations(6, 0.05)[:2])
    assert not has_effects(tmp_path)
    effects.save(tmp_path)
    assert has_effects(tmp_path)
    loaded = ChoiceEffects.load(tmp_path, SPACE, "d" * 64)
    np.testing.assert_array_equal(loaded.weights, effects.weights)
    assert (loaded.n_subnets, loaded.n_images) == (effects.n_subnets, effects.n_images)


def test_other_weights_other_spaces_and_damage_are_refused(tmp_path: Path) -> None:
    fitted(*observations(7, 0.05)[:2]).save(tmp_path)
    with pytest.raises(CorruptFitError, match=r"effects\.json: of other weights"):
        ChoiceEffects.load(tmp_path, SPACE, "e" * 64)
    with pytest.raises(CorruptFitError, match=rf"effects\.json: of space {SPACE.id} .* not of nats-size"):
        ChoiceEffects.load(tmp_path, get_space("nats-size"), "d" * 64)
    document = json.loads((tmp_path / "effects.json").read_text())
    (tmp_path / "effects.json").write_text(json.dumps({**document, "n_images": 1}))
    with pytest.raises(CorruptFitError, match=r"effects\.json"):
        ChoiceEffects.load(tmp_path, SPACE, "d" * 64)
