from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from predictors.accuracy.gaussian_process import _Evidence
from predictors.accuracy.predictor import AccuracyPredictor
from predictors.accuracy.quality import AccuracyQuality, accuracy_quality
from predictors.errors import CorruptFitError, InvalidValueError, NotFittedError
from predictors.predictor import Prediction, Predictor
from searchspaces.errors import InvalidArchError
from searchspaces.genes import gene_matrix
from searchspaces.registry import get_space
from searchspaces.space import Arch, SearchSpace
from tests.contracts.predictor import PredictorContract, sample_archs
from tests.predictors.fakes import SPACE


def true_accuracy(archs: list[Arch], *, noise: float = 0.0, seed: int = 0) -> NDArray[np.float64]:
    """Between .05 and .3: grows with depth and width, saturates, with a preference per operator."""
    totals = SPACE.features(gene_matrix(SPACE, archs))["totals"]
    reference = SPACE.features(gene_matrix(SPACE, sample_archs(SPACE, 200, seed=77)))["totals"]
    scaled = (totals - reference.mean(0)) / np.maximum(reference.std(0), 1e-6)
    weights = np.random.default_rng(3).normal(0, 1, totals.shape[1]) / np.sqrt(totals.shape[1])
    logits = np.tanh(scaled @ weights) + np.random.default_rng([seed, 1]).normal(0, noise, len(archs))
    return np.asarray(0.05 + 0.25 / (1 + np.exp(-2 * logits)))


class TestAccuracyPredictor(PredictorContract):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return SPACE

    @pytest.fixture
    def predictor(self, space: SearchSpace) -> Predictor:
        return AccuracyPredictor(space)

    def targets(self, space: SearchSpace, archs: list[Arch]) -> NDArray[np.float64]:
        return true_accuracy(archs, noise=0.05)


@pytest.fixture(scope="module")
def fitted() -> AccuracyPredictor:
    archs = sample_archs(SPACE, 120)
    predictor = AccuracyPredictor(SPACE)
    predictor.fit(archs, true_accuracy(archs, noise=0.1))
    return predictor


@pytest.fixture
def folder(fitted: AccuracyPredictor, tmp_path: Path) -> Path:
    fitted.save(tmp_path / "fit")
    return tmp_path / "fit"


def test_unseen_subnets_are_ranked_and_intervals_hold(fitted: AccuracyPredictor) -> None:
    archs = sample_archs(SPACE, 300, seed=9)
    truth = true_accuracy(archs, noise=0.1, seed=9)
    found = accuracy_quality(fitted.predict(archs), truth, n_train=120)
    assert found.spearman > 0.85
    assert found.mae_points < 2.0
    assert 0.8 <= found.coverage_90 <= 0.98


def test_cross_validated_quality_tells_what_unseen_subnets_show(fitted: AccuracyPredictor) -> None:
    assert fitted.quality is not None
    assert (fitted.quality.n_train, fitted.quality.n_test) == (96, 120)
    archs = sample_archs(SPACE, 300, seed=9)
    unseen = accuracy_quality(fitted.predict(archs), true_accuracy(archs, noise=0.1, seed=9), n_train=120)
    assert fitted.quality.spearman == pytest.approx(unseen.spearman, abs=0.1)


class TestWithLower(PredictorContract):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return SPACE

    @pytest.fixture
    def predictor(self, fitted: AccuracyPredictor) -> Predictor:
        return AccuracyPredictor(SPACE, lower=fitted)

    def targets(self, space: SearchSpace, archs: list[Arch]) -> NDArray[np.float64]:
        return true_accuracy(archs, noise=0.05)


def test_what_ranks_alike_makes_few_observations_enough(fitted: AccuracyPredictor) -> None:
    rng = np.random.default_rng(0)
    unseen = sample_archs(SPACE, 200, seed=9)
    truth = true_accuracy(unseen)
    gains = []
    for seed in range(5):
        archs = sample_archs(SPACE, 8, seed=20 + seed)
        targets = 2 * true_accuracy(archs) + rng.normal(0, 0.01, 8)
        ranks = []
        for lower in (None, fitted):
            predictor = AccuracyPredictor(SPACE, lower=lower)
            predictor.fit(archs, targets)
            ranks.append(accuracy_quality(predictor.predict(unseen), 2 * truth, n_train=8).spearman)
        gains.append(ranks[1] - ranks[0])
    assert np.median(gains) > 0.1


def test_a_fit_with_a_lower_one_is_not_loaded_without_it(fitted: AccuracyPredictor, tmp_path: Path) -> None:
    predictor = AccuracyPredictor(SPACE, lower=fitted)
    predictor.fit(sample_archs(SPACE, 8), true_accuracy(sample_archs(SPACE, 8)))
    predictor.save(tmp_path)
    with pytest.raises(CorruptFitError, match="features differ"):
        AccuracyPredictor.load(tmp_path, SPACE)


def test_intervals_stay_within_zero_and_one() -> None:
    archs = sample_archs(SPACE, 30)
    predictor = AccuracyPredictor(SPACE)
    predictor.fit(archs, np.where(np.arange(30) % 2, 1.0, 0.97))
    found = predictor.predict(sample_archs(SPACE, 100, seed=5))
    assert (found.low >= 0).all()
    assert (found.high <= 1).all()
    assert np.isfinite(found.std).all()


def test_equal_accuracies_are_predicted_as_such() -> None:
    archs = sample_archs(SPACE, 30)
    predictor = AccuracyPredictor(SPACE)
    predictor.fit(archs, np.full(30, 0.4))
    np.testing.assert_allclose(predictor.predict(archs[:3]).mean, 0.4, atol=1e-4)
    assert predictor.quality is not None
    assert predictor.quality.spearman == 0.0


def test_bad_input_is_refused_by_name() -> None:
    predictor = AccuracyPredictor(SPACE)
    archs = sample_archs(SPACE, 6)
    with pytest.raises(InvalidValueError, match="at least 5 evaluated archs; got 4"):
        predictor.fit(archs[:4], np.full(4, 0.5))
    with pytest.raises(InvalidValueError, match="at most 1"):
        predictor.fit(archs, np.full(6, 1.5))
    with pytest.raises(InvalidArchError, match="hybrid-cifar"):
        predictor.fit([get_space("hybrid-cifar").extreme(largest=True)] * 6, np.full(6, 0.5))


def test_quality_counts_points_and_coverage() -> None:
    mean = np.array([0.1, 0.2, 0.3, 0.4])
    prediction = Prediction(mean, np.full(4, 0.01), mean - 0.02, mean + 0.02)
    found = accuracy_quality(prediction, np.array([0.11, 0.2, 0.35, 0.4]), n_train=7)
    assert found == AccuracyQuality(pytest.approx(1.0), pytest.approx(1.0), pytest.approx(1.5), 0.75, 7, 4)


def test_gradient_of_the_evidence_is_that_of_finite_differences() -> None:
    rng = np.random.default_rng(0)
    search = _Evidence([rng.normal(size=(12, 3)), rng.normal(size=(12, 2))], rng.normal(size=12))
    at = search.start + rng.normal(0, 0.3, len(search.start))
    _, gradient = search(at)
    for index in range(len(at)):
        step = np.zeros(len(at))
        step[index] = 1e-5
        slope = (search(at + step)[0] - search(at - step)[0]) / 2e-5
        assert gradient[index] == pytest.approx(slope, rel=1e-4, abs=1e-6)


def test_a_saved_fit_predicts_the_same(fitted: AccuracyPredictor, folder: Path) -> None:
    loaded = AccuracyPredictor.load(folder, SPACE)
    archs = sample_archs(SPACE, 20, seed=4)
    for part in ("mean", "std", "low", "high"):
        np.testing.assert_array_equal(
            getattr(loaded.predict(archs), part), getattr(fitted.predict(archs), part)
        )
    assert (loaded.quality, loaded.n_archs) == (fitted.quality, 120)
    assert loaded.save(folder.parent / "again") == fitted.save(folder)


def test_an_unfitted_predictor_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(NotFittedError):
        AccuracyPredictor(SPACE).save(tmp_path / "fit")
    assert not (tmp_path / "fit").exists()


@pytest.mark.parametrize("name", ["accuracy.json", "accuracy.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "cut", "flipped"])
def test_damage_is_refused_by_name(folder: Path, name: str, damage: str) -> None:
    path = folder / name
    content = path.read_bytes()
    middle = len(content) // 2
    match damage:
        case "missing":
            path.unlink()
        case "cut":
            path.write_bytes(content[:middle])
        case "flipped":
            path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    with pytest.raises(CorruptFitError, match=re.escape(str(path))):
        AccuracyPredictor.load(folder, SPACE)


def test_another_space_or_other_features_are_refused(folder: Path, fitted: AccuracyPredictor) -> None:
    with pytest.raises(CorruptFitError, match="hybrid-tiny@1, not to hybrid-cifar@1"):
        AccuracyPredictor.load(folder, get_space("hybrid-cifar"))
    fitted._views.names = ("other",)
    try:
        fitted.save(folder)
    finally:
        fitted._views.names = ("genes", "stages", "totals")
    with pytest.raises(CorruptFitError, match="fit again"):
        AccuracyPredictor.load(folder, SPACE)


def test_an_edited_fit_is_refused(folder: Path) -> None:
    payload = json.loads((folder / "accuracy.json").read_text())
    payload["inflation"] = 0.0
    (folder / "accuracy.json").write_text(json.dumps(payload))
    with pytest.raises(CorruptFitError, match="does not match its SHA-256"):
        AccuracyPredictor.load(folder, SPACE)
