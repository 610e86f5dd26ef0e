from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from predictors.errors import CorruptFitError, DeviceMismatchError, InvalidValueError, NotFittedError
from predictors.features import columns, features
from predictors.fit_files import ARRAYS_FILE, JSON_FILE
from predictors.latency import LatencyPredictor
from predictors.predictor import Predictor
from predictors.quality import evaluate_predictor
from predictors.sample import LatencySample
from searchspaces.genes import archs_of, sample_genes
from searchspaces.registry import get_space
from searchspaces.space import Arch, SearchSpace
from tests.contracts.predictor import PredictorContract, sample_archs
from tests.predictors.fakes import DEVICE, SPACE


def true_latency(archs: list[Arch], *, noise: float = 0.0, seed: int = 0) -> NDArray[np.float64]:
    """An additive latency in ms with random cost per unit of each quantity, and relative noise."""
    names = columns(SPACE)
    table = features(SPACE, archs, names)
    unit = np.maximum(features(SPACE, sample_archs(SPACE, 100, seed=77), names).mean(0), 1e-6)
    cost = np.random.default_rng(5).gamma(0.5, 1.0, len(names))
    clean = 0.1 + table / unit @ cost
    return np.asarray(clean * np.exp(np.random.default_rng([seed, 1]).normal(0, noise, len(archs))))


class TestLatencyPredictor(PredictorContract):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return SPACE

    @pytest.fixture
    def predictor(self, space: SearchSpace) -> Predictor:
        return LatencyPredictor(space, DEVICE)

    def targets(self, space: SearchSpace, archs: list[Arch]) -> NDArray[np.float64]:
        return true_latency(archs, noise=0.02)


@pytest.fixture(scope="module")
def fitted() -> LatencyPredictor:
    archs = sample_archs(SPACE, 100)
    predictor = LatencyPredictor(SPACE, DEVICE)
    predictor.fit(archs, true_latency(archs, noise=0.03))
    return predictor


@pytest.fixture
def folder(fitted: LatencyPredictor, tmp_path: Path) -> Path:
    fitted.save(tmp_path / "fit")
    return tmp_path / "fit"


def test_held_out_subnets_are_ranked_and_covered(fitted: LatencyPredictor) -> None:
    held_out = sample_archs(SPACE, 500, seed=9)
    quality = evaluate_predictor(fitted, held_out, true_latency(held_out, noise=0.03, seed=2), n_train=100)
    assert quality.spearman > 0.97
    assert quality.mape < 0.06
    assert 0.82 <= quality.coverage_90 <= 0.97


def test_its_own_quality_tells_the_same_story(fitted: LatencyPredictor) -> None:
    assert fitted.quality is not None
    assert (fitted.quality.n_train, fitted.quality.n_test) == (80, 100)
    assert fitted.quality.spearman > 0.97
    assert 0.8 <= fitted.quality.coverage_90 <= 0.98


@pytest.mark.parametrize("noise", [0.02, 0.2])
def test_intervals_are_calibrated_at_any_noise(noise: float) -> None:
    held_out = sample_archs(SPACE, 300, seed=9)
    coverage = []
    for seed in range(5):
        archs = sample_archs(SPACE, 100, seed=1000 + seed)
        predictor = LatencyPredictor(SPACE, DEVICE)
        predictor.fit(archs, true_latency(archs, noise=noise, seed=seed))
        found = predictor.predict(held_out)
        target = true_latency(held_out, noise=noise, seed=100 + seed)
        coverage.append(np.mean((found.low <= target) & (target <= found.high)))
    assert 0.85 <= np.mean(coverage) <= 0.95


def test_more_samples_make_it_surer() -> None:
    held_out, archs = sample_archs(SPACE, 100, seed=9), sample_archs(SPACE, 200)
    widths = []
    for n in (10, 200):
        predictor = LatencyPredictor(SPACE, DEVICE)
        predictor.fit(archs[:n], true_latency(archs[:n], noise=0.02))
        found = predictor.predict(held_out)
        widths.append(float(np.median((found.high - found.low) / found.mean)))
    assert widths[1] < widths[0] / 2


def test_genes_are_predicted_as_archs_and_parts_as_what_is_decoded() -> None:
    archs = sample_archs(SPACE, 40)
    targets = true_latency(archs, noise=0.05)
    predictor, decoding = (LatencyPredictor(space, DEVICE) for space in (SPACE, replace(SPACE, parts=None)))
    predictor.fit(archs, targets)
    decoding.fit(archs, targets)
    genes = sample_genes(SPACE, 5000, np.random.default_rng(1))
    found, same = predictor.predict_genes(genes), predictor.predict(archs_of(SPACE, genes[:50]))
    decoded = decoding.predict_genes(genes[:50])
    for part in ("mean", "std", "low", "high"):
        np.testing.assert_array_equal(getattr(found, part)[:50], getattr(same, part))
        np.testing.assert_allclose(getattr(found, part)[:50], getattr(decoded, part), rtol=1e-5)


def test_units_of_time_do_not_matter() -> None:
    archs = sample_archs(SPACE, 50)
    targets = true_latency(archs, noise=0.02)
    means = []
    for factor in (1e-3, 1.0, 1e4):
        predictor = LatencyPredictor(SPACE, DEVICE)
        predictor.fit(archs, targets * factor)
        means.append(predictor.predict(archs).mean / factor)
    np.testing.assert_allclose(means[0], means[1], rtol=1e-6)
    np.testing.assert_allclose(means[2], means[1], rtol=1e-6)


def test_predictions_stay_positive_from_very_few_samples() -> None:
    archs = sample_archs(SPACE, 5)
    predictor = LatencyPredictor(SPACE, DEVICE)
    predictor.fit(archs, np.array([1.0, 90.0, 2.0, 40.0, 7.0]))
    found = predictor.predict(sample_archs(SPACE, 200, seed=3))
    assert (found.mean > 0).all()
    assert (found.low >= 0).all()
    assert predictor.quality is None


def test_four_samples_are_too_few() -> None:
    with pytest.raises(InvalidValueError, match="at least 5 measured archs; got 4"):
        LatencyPredictor(SPACE, DEVICE).fit(sample_archs(SPACE, 4), np.ones(4))


def test_samples_of_another_device_are_refused() -> None:
    samples = [LatencySample(arch, DEVICE, (1.0, 2.0), (3.0, 3.0)) for arch in sample_archs(SPACE, 6)]
    predictor = LatencyPredictor(SPACE, DEVICE)
    predictor.fit_samples(samples)
    assert predictor.predict([samples[0].arch]).mean[0] == pytest.approx(1.5, rel=0.01)
    stranger = replace(samples[3], device=replace(DEVICE, runtime_version="2"))
    with pytest.raises(DeviceMismatchError, match=stranger.arch.key):
        predictor.fit_samples([*samples, stranger])


def test_a_saved_fit_predicts_the_same(fitted: LatencyPredictor, folder: Path) -> None:
    loaded = LatencyPredictor.load(folder, SPACE)
    archs = sample_archs(SPACE, 20, seed=4)
    for part in ("mean", "std", "low", "high"):
        np.testing.assert_array_equal(
            getattr(loaded.predict(archs), part), getattr(fitted.predict(archs), part)
        )
    assert (loaded.quality, loaded.device) == (fitted.quality, DEVICE)
    assert loaded.save(folder.parent / "again") == fitted.save(folder)
    assert sorted(path.name for path in folder.iterdir()) == [JSON_FILE, ARRAYS_FILE]


def test_an_unfitted_predictor_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(NotFittedError):
        LatencyPredictor(SPACE, DEVICE).save(tmp_path / "fit")
    assert not (tmp_path / "fit").exists()


@pytest.mark.parametrize("name", [JSON_FILE, ARRAYS_FILE])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "flipped"])
def test_damage_is_refused_by_name(folder: Path, name: str, damage: str) -> None:
    path = folder / name
    content = path.read_bytes()
    middle = len(content) // 2
    match damage:
        case "missing":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(content[:middle])
        case "flipped":
            path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    with pytest.raises(CorruptFitError, match=re.escape(str(path))):
        LatencyPredictor.load(folder, SPACE)


@pytest.mark.parametrize("text", ["[]", "null", '{"format": 1}', '{"format": 99}', "1e999"])
def test_other_json_is_refused(folder: Path, text: str) -> None:
    (folder / JSON_FILE).write_text(text)
    with pytest.raises(CorruptFitError, match=JSON_FILE):
        LatencyPredictor.load(folder, SPACE)


def test_an_edited_fit_is_refused(folder: Path) -> None:
    payload = json.loads((folder / JSON_FILE).read_text())
    payload["scalars"]["inflation"] = 0.0
    (folder / JSON_FILE).write_text(json.dumps(payload))
    with pytest.raises(CorruptFitError, match="does not match its SHA-256"):
        LatencyPredictor.load(folder, SPACE)


def test_another_space_or_device_is_refused(folder: Path) -> None:
    with pytest.raises(CorruptFitError, match="hybrid-tiny@1, not to hybrid-cifar@1"):
        LatencyPredictor.load(folder, get_space("hybrid-cifar"))
    renamed = replace(DEVICE, name="renamed")
    assert LatencyPredictor.load(folder, SPACE, renamed).device == renamed
    with pytest.raises(DeviceMismatchError, match="fitted on device fake"):
        LatencyPredictor.load(folder, SPACE, replace(DEVICE, threads=2))
