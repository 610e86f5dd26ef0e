"""Every option alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from searchspaces.space import SearchSpace


class UniformSampler:
    """Every choice uniform over its options, independently. Remembers nothing."""

    def __init__(self, space: SearchSpace) -> None:
        self.options = [len(choice.values) for choice in space.choices]

    def genes(self, rng: np.random.Generator, prefix: Sequence[int] = ()) -> list[int]:
        """See Sampler. Not canonical, so that choices activated later on are random too."""
        return [*prefix, *(int(rng.integers(n)) for n in self.options[len(prefix) :])]

    def memory(self) -> Mapping[str, Any]:
        """See Sampler."""
        return {}

    def recall(self, memory: Mapping[str, Any]) -> None:
        """See Sampler."""
