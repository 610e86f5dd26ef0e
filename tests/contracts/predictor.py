"""What every predictor must do; subclass with ``space`` and ``predictor`` fixtures."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from predictors.errors import InvalidValueError, NotFittedError
from predictors.predictor import Predictor
from searchspaces.space import Arch, SearchSpace


def sample_archs(space: SearchSpace, n: int, seed: int = 0) -> list[Arch]:
    rng = np.random.default_rng(seed)
    archs: dict[Arch, None] = {}
    while len(archs) < n:
        archs[space.sample(rng)] = None
    return list(archs)


class PredictorContract:
    @pytest.fixture
    def space(self) -> SearchSpace:
        raise NotImplementedError

    @pytest.fixture
    def predictor(self, space: SearchSpace) -> Predictor:
        raise NotImplementedError

    def targets(self, space: SearchSpace, archs: list[Arch]) -> NDArray[np.float64]:
        """Positive targets that a good predictor can learn."""
        raise NotImplementedError

    @pytest.fixture
    def archs(self, space: SearchSpace) -> list[Arch]:
        return sample_archs(space, 60)

    def test_predicting_before_fitting_is_an_error(self, predictor: Predictor, archs: list[Arch]) -> None:
        with pytest.raises(NotFittedError):
            predictor.predict(archs)

    def test_shapes_and_order_of_bounds(
        self, predictor: Predictor, space: SearchSpace, archs: list[Arch]
    ) -> None:
        predictor.fit(archs[:40], self.targets(space, archs[:40]))
        found = predictor.predict(archs)
        for part in (found.mean, found.std, found.low, found.high):
            assert part.shape == (60,)
            assert np.isfinite(part).all()
        assert (found.std >= 0).all()
        assert (found.low <= found.mean).all()
        assert (found.mean <= found.high).all()

    def test_no_archs_give_no_predictions(
        self, predictor: Predictor, space: SearchSpace, archs: list[Arch]
    ) -> None:
        predictor.fit(archs, self.targets(space, archs))
        assert predictor.predict([]).mean.shape == (0,)

    def test_a_prediction_depends_on_its_own_arch_only(
        self, predictor: Predictor, space: SearchSpace, archs: list[Arch]
    ) -> None:
        predictor.fit(archs[:40], self.targets(space, archs[:40]))
        together = predictor.predict(archs[40:])
        alone = [predictor.predict([arch]).mean[0] for arch in archs[40:]]
        np.testing.assert_allclose(together.mean, alone, rtol=1e-9)

    def test_fitting_again_forgets(self, predictor: Predictor, space: SearchSpace, archs: list[Arch]) -> None:
        targets = self.targets(space, archs)
        predictor.fit(archs, targets)
        first = predictor.predict(archs)
        predictor.fit(archs[::-1], 3 * targets[::-1])
        predictor.fit(archs, targets)
        np.testing.assert_array_equal(predictor.predict(archs).mean, first.mean)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, -1.0])
    def test_bad_targets_are_refused_and_the_fit_is_kept(
        self, predictor: Predictor, space: SearchSpace, archs: list[Arch], bad: float
    ) -> None:
        targets = self.targets(space, archs)
        predictor.fit(archs, targets)
        before = predictor.predict(archs).mean
        with pytest.raises(InvalidValueError, match="positive and finite"):
            predictor.fit(archs, np.where(np.arange(60) == 7, bad, targets))
        np.testing.assert_array_equal(predictor.predict(archs).mean, before)

    def test_targets_of_another_length_are_refused(self, predictor: Predictor, archs: list[Arch]) -> None:
        with pytest.raises(InvalidValueError, match="shape"):
            predictor.fit(archs, np.ones(59))
