"""Wire model of what accuracies of training alone rest on."""

from __future__ import annotations

from service.schemas.base import Answer


class StandaloneAnswer(Answer):
    """Subnets of ``supernet`` that were trained alone, from which others' accuracies are predicted.

    ``recipe`` says how they were trained (epochs, number of training images). The rest is
    cross-validated agreement of predicted with reached test accuracies, null for fewer than 20
    runs: Spearman's rho, mean absolute error in percentage points, coverage of the 90 % interval.
    """

    supernet: str
    runs: int
    recipe: dict[str, int | float | str]
    spearman: float | None
    mae_points: float | None
    coverage_90: float | None
