"""Sampler: draws the genes of one subnet after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np


class Sampler(Protocol):
    """Draws subnets for training. What it remembers is JSON, so that training resumes exactly."""

    def genes(self, rng: np.random.Generator, prefix: Sequence[int] = ()) -> list[int]:
        """Raw genes, one option index per choice; the first ones are ``prefix``.

        Equal memory and equal generator give equal genes.
        """
        ...

    def memory(self) -> Mapping[str, Any]:
        """What later draws depend on, as JSON; empty if nothing."""
        ...

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Continue from a ``memory`` of the same sampler over the same space."""
        ...
