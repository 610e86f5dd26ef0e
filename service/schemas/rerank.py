"""Wire model of what a re-ranked front rests on."""

from __future__ import annotations

from service.schemas.base import Answer


class RerankedAnswer(Answer):
    """A front of all evaluated subnets of a supernet on a device that nothing was searched for.

    All its latencies are predicted, by a predictor from ``n_samples`` measurements. ``hypervolume``
    is the front's, in milliseconds up to ``reference_ms`` times accuracy; ``missing_hypervolume`` is
    what would be added if every evaluated subnet off the front were as fast as the low end of its
    90 % interval, and ``missing_share`` its share of both. Subnets never evaluated have no part in it.
    """

    supernet: str
    device: str
    predictor: str
    n_samples: int
    n_evaluated: int
    hypervolume: float
    missing_hypervolume: float
    missing_share: float
    reference_ms: float
