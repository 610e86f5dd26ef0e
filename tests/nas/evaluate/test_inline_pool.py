"""InlinePool keeps the pool contract."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nas.evaluate.inline_pool import InlinePool
from tests.contracts.pool import ARCHS, PoolContract, PoolToy


class TestInlinePool(PoolContract):
    @pytest.fixture
    def pool(self, tmp_path: Path) -> InlinePool:
        return InlinePool(PoolToy({"weights": np.ones(3)}, tmp_path / "mark"))

    def test_closed_pool_refuses_chunks(self, pool: InlinePool) -> None:
        pool.close()
        with pytest.raises(RuntimeError, match="closed"):
            pool.submit(ARCHS[:1])
