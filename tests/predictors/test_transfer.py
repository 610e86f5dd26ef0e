from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from predictors.device import Device
from predictors.errors import CorruptFitError, DeviceMismatchError, InvalidValueError, NotFittedError
from predictors.features import columns, features
from predictors.fit_files import ARRAYS_FILE, JSON_FILE
from predictors.latency import LatencyPredictor
from predictors.latency_files import load_latency
from predictors.predictor import Predictor
from predictors.quality import evaluate_predictor
from predictors.sample import LatencySample
from predictors.transfer.predictor import SourceData, TransferPredictor
from searchspaces.errors import InvalidArchError
from searchspaces.registry import get_space
from searchspaces.space import Arch, SearchSpace
from tests.contracts.predictor import PredictorContract, sample_archs
from tests.predictors.fakes import DEVICE, SPACE

FloatArray = NDArray[np.float64]
POOL = sample_archs(SPACE, 150)


def latency(archs: list[Arch], machine: int, *, noise: float = 0.01) -> FloatArray:
    """An additive latency in ms: machines share most of their costs per quantity."""
    names = columns(SPACE)
    unit = np.maximum(features(SPACE, sample_archs(SPACE, 100, seed=77), names).mean(0), 1e-6)
    shared = np.random.default_rng(5).gamma(0.5, 1.0, len(names))
    cost = shared * np.random.default_rng([6, machine]).lognormal(0, 0.5, len(names))
    clean = 0.1 + features(SPACE, archs, names) / unit @ cost
    return np.asarray(
        clean * np.exp(np.random.default_rng([machine, len(archs)]).normal(0, noise, len(archs)))
    )


def sources() -> dict[str, SourceData]:
    return {f"machine-{i}": SourceData(tuple(POOL), latency(POOL, i)) for i in range(3)}


@pytest.fixture(scope="module")
def fitted() -> TransferPredictor:
    predictor = TransferPredictor(SPACE, DEVICE, sources())
    archs = predictor.choose(10, POOL)
    predictor.fit(archs, latency(archs, 9))
    return predictor


class TestTransferPredictor(PredictorContract):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return SPACE

    @pytest.fixture
    def predictor(self, space: SearchSpace) -> Predictor:
        return TransferPredictor(space, DEVICE, sources())

    def targets(self, space: SearchSpace, archs: list[Arch]) -> FloatArray:
        return latency(archs, 9)


def test_ten_chosen_samples_rank_what_was_never_measured(fitted: TransferPredictor) -> None:
    held_out = sample_archs(SPACE, 300, seed=9)
    quality = evaluate_predictor(fitted, held_out, latency(held_out, 9), n_train=10)
    assert quality.spearman > 0.95
    assert quality.within_10 > 0.5
    assert quality.coverage_90 >= 0.75


def test_chosen_archs_are_distinct_candidates_and_a_prefix_is_a_choice() -> None:
    predictor = TransferPredictor(SPACE, DEVICE, sources())
    candidates = sample_archs(SPACE, 80, seed=4)
    chosen = predictor.choose(10, [*candidates, *candidates])
    assert len(set(chosen)) == 10
    assert set(chosen) <= set(candidates)
    assert predictor.choose(5, candidates) == chosen[:5]
    assert TransferPredictor(SPACE, DEVICE, sources()).choose(10, candidates) == chosen
    with pytest.raises(InvalidValueError, match=r"n must lie in 1\.\.80"):
        predictor.choose(81, [*candidates, *candidates])


def test_unit_of_the_target_does_not_matter(fitted: TransferPredictor) -> None:
    archs = fitted.choose(10, POOL)
    other = TransferPredictor(SPACE, DEVICE, sources())
    other.fit(archs, 1e6 * latency(archs, 9))  # bytes, say, where the sources are in ms
    np.testing.assert_allclose(other.predict(POOL).mean, 1e6 * fitted.predict(POOL).mean, rtol=1e-6)


def test_one_outlier_rarely_spoils_the_fit() -> None:
    predictor = TransferPredictor(SPACE, DEVICE, sources())
    archs = predictor.choose(12, POOL)
    held_out = sample_archs(SPACE, 200, seed=9)
    found = []
    for place in (0, 2, 4, 6, 8):
        targets = latency(archs, 9)
        targets[place] *= 10
        predictor.fit(archs, targets)
        found.append(evaluate_predictor(predictor, held_out, latency(held_out, 9), n_train=12).spearman)
    assert np.median(found) > 0.9


def test_one_source_is_enough() -> None:
    predictor = TransferPredictor(SPACE, DEVICE, {"machine-0": sources()["machine-0"]})
    archs = predictor.choose(10, POOL)
    predictor.fit(archs, latency(archs, 9))
    held_out = sample_archs(SPACE, 200, seed=9)
    assert evaluate_predictor(predictor, held_out, latency(held_out, 9), n_train=10).spearman > 0.9


def test_sources_are_checked() -> None:
    with pytest.raises(InvalidValueError, match="at least one measured device"):
        TransferPredictor(SPACE, DEVICE, {})
    with pytest.raises(InvalidValueError, match="must be other devices"):
        TransferPredictor(SPACE, DEVICE, {DEVICE.fingerprint: sources()["machine-0"]})
    with pytest.raises(InvalidValueError, match="at least 10 values"):
        TransferPredictor(SPACE, DEVICE, {"few": SourceData(tuple(POOL[:9]), np.ones(9))})
    with pytest.raises(InvalidValueError, match="positive and finite"):
        TransferPredictor(SPACE, DEVICE, {"bad": SourceData(tuple(POOL[:10]), np.full(10, np.nan))})
    stranger = tuple(sample_archs(get_space("hybrid-cifar"), 10))
    with pytest.raises(InvalidArchError, match="hybrid-cifar"):
        TransferPredictor(SPACE, DEVICE, {"other": SourceData(stranger, np.ones(10))})


def test_samples_of_another_device_are_refused() -> None:
    predictor = TransferPredictor(SPACE, DEVICE, sources())
    stranger: Device = replace(DEVICE, threads=7)
    samples = [LatencySample(arch, DEVICE, (1.0,), (1.0,)) for arch in POOL[:5]]
    with pytest.raises(DeviceMismatchError, match=POOL[5].key):
        predictor.fit_samples([*samples, LatencySample(POOL[5], stranger, (1.0,), (1.0,))])
    with pytest.raises(NotFittedError):
        predictor.predict(POOL)


def test_a_saved_fit_predicts_the_same_and_can_be_fitted_again(
    fitted: TransferPredictor, tmp_path: Path
) -> None:
    digest = fitted.save(tmp_path / "fit")
    loaded = TransferPredictor.load(tmp_path / "fit", SPACE)
    for part in ("mean", "std", "low", "high"):
        np.testing.assert_array_equal(
            getattr(loaded.predict(POOL), part), getattr(fitted.predict(POOL), part)
        )
    assert loaded.save(tmp_path / "again") == digest
    assert loaded.choose(4, POOL) == fitted.choose(4, POOL)


@pytest.mark.parametrize("name", [JSON_FILE, ARRAYS_FILE])
def test_damage_is_refused(fitted: TransferPredictor, tmp_path: Path, name: str) -> None:
    fitted.save(tmp_path)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(CorruptFitError):
        TransferPredictor.load(tmp_path, SPACE)


def test_another_space_or_device_is_refused(fitted: TransferPredictor, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    with pytest.raises(CorruptFitError, match="not to hybrid-cifar"):
        TransferPredictor.load(tmp_path, get_space("hybrid-cifar"))
    with pytest.raises(DeviceMismatchError, match="not on"):
        TransferPredictor.load(tmp_path, SPACE, replace(DEVICE, threads=7))


def test_an_unfitted_predictor_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(NotFittedError):
        TransferPredictor(SPACE, DEVICE, sources()).save(tmp_path / "fit")
    assert not (tmp_path / "fit").exists()


def test_a_leave_one_out_judgement_is_kept_with_the_fit(tmp_path: Path) -> None:
    predictor = TransferPredictor(SPACE, DEVICE, sources())
    archs = predictor.choose(10, POOL)
    predictor.fit(archs, latency(archs, 9))
    quality = predictor.judge(archs, latency(archs, 9))
    assert (quality.n_train, quality.n_test) == (9, 10)
    assert quality.spearman > 0.8
    mean = predictor.predict(POOL).mean
    predictor.save(tmp_path)
    loaded = load_latency(tmp_path, SPACE)
    assert isinstance(loaded, TransferPredictor)
    assert loaded.quality == quality
    np.testing.assert_array_equal(loaded.predict(POOL).mean, mean)


def test_a_fit_of_one_device_is_loaded_as_such(tmp_path: Path) -> None:
    predictor = LatencyPredictor(SPACE, DEVICE)
    predictor.fit(POOL[:30], latency(POOL[:30], 9))
    predictor.save(tmp_path)
    assert isinstance(load_latency(tmp_path, SPACE), LatencyPredictor)
    with pytest.raises(CorruptFitError, match="not a transferred fit"):
        TransferPredictor.load(tmp_path, SPACE)
