"""Wire models of Pareto fronts and their members."""

from __future__ import annotations

from typing import Literal

from service.schemas.alone import StandaloneAnswer
from service.schemas.base import Answer
from service.schemas.fidelity import FidelityAnswer
from service.schemas.rerank import RerankedAnswer


class FrontPointAnswer(Answer):
    """A member of a front. ``latency_ms`` is the measured value where there is one.

    ``top1`` was estimated on the validation split, or is predicted, with its 90 % interval, where
    ``top1_source`` says so; ``test_top1`` was taken once, on the test split. ``standalone_top1`` is
    what training the subnet alone would give on the test split, predicted with its 90 % interval
    from subnets that were (``standalone`` of the front says how); null where none were.
    """

    subnet_id: str
    supernet: str | None
    device: str | None
    study_id: str
    number: int
    top1: float
    top1_source: Literal["evaluated", "predicted"]
    top1_low: float | None
    top1_high: float | None
    test_top1: float | None
    standalone_top1: float | None
    standalone_top1_low: float | None
    standalone_top1_high: float | None
    latency_ms: float
    latency_source: Literal["measured", "predicted"]
    predicted_latency_ms: float | None
    latency_low_ms: float | None
    latency_high_ms: float | None
    measured_latency_ms: float | None
    values: dict[str, float]
    genes: list[int]


class FrontAnswer(Answer):
    """Non-dominated subnets (per supernet and device), fastest first.

    For a device with a predictor on which no study has a front yet, they are found among everything
    that was evaluated of the supernet, and ``reranked`` says so.
    ``fidelity`` says how well their supernet ranks; it is null, and ``warnings`` says why, where
    that was never checked or the points are of several supernets.
    """

    points: list[FrontPointAnswer]
    reranked: list[RerankedAnswer]
    standalone: list[StandaloneAnswer]
    fidelity: FidelityAnswer | None
    warnings: list[str]


class BestAnswer(FrontPointAnswer):
    """The best member of a front, with all that the front says beside its points."""

    reranked: list[RerankedAnswer]
    standalone: list[StandaloneAnswer]
    fidelity: FidelityAnswer | None
    warnings: list[str]
