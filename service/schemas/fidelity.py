"""Wire models of ranking fidelity: the job that checks it, and its report."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import ConfigDict, Field, model_validator

from service.schemas.base import Answer, Name, Seed, Wire


class FidelityJob(Wire):
    """Check how well a supernet ranks, against recorded accuracies or subnets that are trained alone."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"kind": "fidelity", "supernet": "digits", "train_alone": 30}]}
    )

    kind: Literal["fidelity"]
    supernet: Name
    truth: str | None = Field(
        default=None,
        min_length=1,
        max_length=4096,
        description="File on the server: a table (.npz), or the JSON of subnets trained alone",
    )
    train_alone: int | None = Field(
        default=None, ge=3, le=10_000, description="Number of subnets to train alone, instead of a file"
    )
    epochs: int | None = Field(
        default=None, ge=1, le=100_000, description="Of each training alone; null: as the supernet"
    )
    subnets: int = Field(default=500, ge=3, le=100_000, description="Number of subnets to draw from a table")
    metric: Literal["top1", "log_likelihood"] = Field(
        default="top1", description="The estimate that is checked; a search ranks by top1"
    )
    images: int = Field(default=2000, ge=1, le=1_000_000, description="Validation images of an estimate")
    seed: Seed = 0

    @model_validator(mode="after")
    def _one_truth(self) -> Self:
        if (self.truth is None) == (self.train_alone is None):
            raise ValueError("give either truth or train_alone")
        return self


class AgreementAnswer(Answer):
    """Rank correlations with the truth, in [-1, 1]."""

    spearman: float
    kendall_tau: float


class IntervalAnswer(Answer):
    """Ends [low, high] of the 95 % bootstrap intervals of both correlations."""

    spearman: list[float]
    kendall_tau: list[float]


class FidelityAnswer(Answer):
    """How well a supernet orders subnets whose true accuracy is known.

    ``top_regret`` is the best true accuracy minus that of the supernet's first choice; ``proxies``
    is what costs no training, held against the same truth.
    """

    space: str
    supernet: str
    subnets: int
    metric: str
    truth: str
    spearman: float
    kendall_tau: float
    interval: IntervalAnswer
    top_regret: float
    seed: int
    resamples: int
    proxies: dict[str, AgreementAnswer]
