"""RayPool keeps the pool contract, shares its weights and survives its workers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from numpy.typing import NDArray

from nas.errors import ConfigError, EvaluatorError
from nas.evaluate.inline_pool import InlinePool
from nas.evaluate.ray_pool import RayPool
from nas.memory_store import InMemoryStore
from nas.search.registry import get_searcher
from nas.study import run_study
from tests.contracts.pool import ARCHS, DEADLY, DEADLY_ONCE, SPACE, PoolContract, PoolToy
from tests.contracts.toy import OBJECTIVES, toy_study

pytestmark = pytest.mark.ray
WEIGHTS = {"weights": np.arange(200_000, dtype=np.float32)}


@dataclass(frozen=True)
class Factory:
    mark: Path

    def __call__(self, arrays: Mapping[str, NDArray[Any]]) -> PoolToy:
        return PoolToy(arrays, self.mark)


def failing_factory(arrays: Mapping[str, NDArray[Any]]) -> PoolToy:
    raise OSError("weights do not fit this space")


def folders() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("nas-ray-*"))


def test_a_pool_needs_an_actor(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="n_actors"):
        RayPool(Factory(tmp_path), WEIGHTS, 0)


def test_failing_factory_is_reported_and_cleaned_up() -> None:
    before = folders()
    with pytest.raises(EvaluatorError, match="weights do not fit this space"):
        RayPool(failing_factory, WEIGHTS, 1)
    assert not ray.is_initialized()
    assert folders() == before


@pytest.fixture(scope="module")
def ray_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayPool]:
    before = folders()
    pool = RayPool(Factory(tmp_path_factory.mktemp("pool") / "mark"), WEIGHTS, 2)
    yield pool
    pool.close()
    pool.close()
    assert not ray.is_initialized()
    assert folders() == before
    with pytest.raises(RuntimeError, match="shutdown"):
        pool.submit(ARCHS[:1])


class TestRayPool(PoolContract):
    @pytest.fixture
    def pool(self, ray_pool: RayPool) -> RayPool:
        return ray_pool

    def test_actors_read_the_weights_in_place(self, pool: RayPool) -> None:
        values = pool.submit(ARCHS[:1]).result()[0].values
        assert values["weight"] == WEIGHTS["weights"].sum(dtype=np.float64)
        assert values["writeable"] == 0.0  # a view of the object store; a copy would be writeable

    def test_dead_worker_is_restarted_and_the_chunk_repeated(self, pool: RayPool) -> None:
        chunk = [ARCHS[0], DEADLY_ONCE, ARCHS[1]]
        evaluations = pool.submit(chunk).result()
        assert [evaluation.arch for evaluation in evaluations] == chunk
        assert all(evaluation.error is None for evaluation in evaluations)

    def test_deadly_arch_fails_alone(self, pool: RayPool) -> None:
        first, deadly, last = pool.submit([ARCHS[0], DEADLY, ARCHS[1]]).result()
        assert deadly.arch == DEADLY
        assert "died twice" in str(deadly.error)
        assert first.error is None
        assert last.error is None

    def test_study_asks_the_same_archs_as_inline(self, pool: RayPool, tmp_path: Path) -> None:
        study = toy_study(searcher="nsga2", budget=40)
        trials = []
        for any_pool in (pool, InlinePool(PoolToy(WEIGHTS, tmp_path))):
            store = InMemoryStore()
            run_study(study, get_searcher("nsga2")(SPACE, OBJECTIVES, seed=1), any_pool, store)
            trials.append([(t.number, t.state, t.evaluation.arch) for t in store.list_trials(study.id)])
        assert trials[0] == trials[1]

    def test_running_ray_is_used_and_left_running(self, pool: RayPool, tmp_path: Path) -> None:
        with pytest.raises(EvaluatorError, match="one free CPU"):  # the fixture's actors hold both
            RayPool(Factory(tmp_path), WEIGHTS, 1, start_timeout_s=0.5)
        assert ray.is_initialized()
