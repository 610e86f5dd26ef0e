"""Options that were trained least come first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from searchspaces.space import SearchSpace


class LeastTrainedSampler:
    """Every active choice takes the option that it was drawn with least often; ties are random.

    Every n draws of a choice with n options hold each option once: the strict fairness of
    FairNAS (arXiv 1907.01845, section 3.2), also for choices that are active only at times. A
    prefix is not counted again: the layers that it fixes are run once for all that share it.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.counts = [[0] * len(choice.values) for choice in space.choices]

    def genes(self, rng: np.random.Generator, prefix: Sequence[int] = ()) -> list[int]:
        """See Sampler. Inactive choices are uniform and not counted: others may activate them later."""
        genes = [*prefix, *([0] * (len(self.counts) - len(prefix)))]
        for i in range(len(prefix), len(genes)):
            if not self.space.active(genes)[i]:
                genes[i] = int(rng.integers(len(self.counts[i])))
            else:
                least = min(self.counts[i])
                tied = [option for option, count in enumerate(self.counts[i]) if count == least]
                genes[i] = tied[int(rng.integers(len(tied)))]
                self.counts[i][genes[i]] += 1
        return genes

    def memory(self) -> Mapping[str, Any]:
        """The draws so far of every option of every choice."""
        return {"counts": [list(counts) for counts in self.counts]}

    def recall(self, memory: Mapping[str, Any]) -> None:
        """See Sampler."""
        self.counts = [list(counts) for counts in memory["counts"]]
