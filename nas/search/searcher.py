"""The Searcher protocol: a searcher is a function of the history that it was told."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from nas.search.knowledge import NOTHING, Knowledge
from nas.types import Constraint, Evaluation, Objective
from searchspaces.space import Arch, SearchSpace


class Searcher(Protocol):
    """Proposes archs.

    Laws: ``ask`` changes nothing (its randomness comes from seed, number told and number
    pending), so resuming is replaying; a fresh searcher told the same evaluations in the same
    order asks the same.
    """

    def ask(self, n: int, pending: Collection[Arch] = ()) -> list[Arch]:
        """Up to ``n`` distinct canonical archs, none told or pending; [] when the space is exhausted."""
        ...

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Add finished evaluations, failed ones included, in the order of their trials."""
        ...


class SearcherFactory(Protocol):
    """Makes a searcher; the registry maps names to these."""

    def __call__(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],
        *,
        constraints: Sequence[Constraint] = (),
        known: Knowledge = NOTHING,
        seed: int,
    ) -> Searcher:
        """A searcher with an empty history; it may use what is ``known``, and need not."""
        ...
