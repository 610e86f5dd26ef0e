"""Pareto fronts by device and budget, as JSON or CSV, and the best point within a budget."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request, Response

from db.records import FrontPoint
from service.deps import DeviceFilter, NameFilter, NumberFilter, StoresDep
from service.errors import NoFeasiblePointError
from service.fidelity import fidelity_of
from service.points import point_answer, point_answers
from service.rerank import Reranked, reranked
from service.schemas.fronts import BestAnswer, FrontAnswer, FrontPointAnswer
from service.schemas.rerank import RerankedAnswer
from service.stores import Stores
from service.web.conditional import conditional

CSV_TYPE = "text/csv"
CSV_COLUMNS = tuple(name for name in FrontPointAnswer.model_fields if name not in ("values", "genes"))
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
FRONT_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {CSV_TYPE: {"schema": {"type": "string"}}}},
    304: {"description": "The client's copy is current"},
}
router = APIRouter(prefix="/fronts", tags=["fronts"])


@router.get(
    "",
    operation_id="getFront",
    summary="Get a Pareto front",
    response_model=FrontAnswer,
    responses=FRONT_RESPONSES,
)
def get_front(
    request: Request,
    stores: StoresDep,
    device: DeviceFilter = None,
    supernet: NameFilter = None,
    study: NameFilter = None,
    max_latency_ms: NumberFilter = None,
    min_top1: NumberFilter = None,
    format: Annotated[Literal["json", "csv"] | None, Query()] = None,
    accept: Annotated[str | None, Header(max_length=1000)] = None,
) -> Response:
    """Non-dominated subnets over all studies that match, fastest first, with a strong ETag."""
    points = stores.studies.fronts(
        device=device, supernet=supernet, study=study, max_latency_ms=max_latency_ms, min_top1=min_top1
    )
    others, problems = _unsearched(device, supernet, study, stores)
    found = (point for other in others for point in other.points)
    points = sorted(
        [*points, *(point for point in found if _fits(point, max_latency_ms, min_top1))],
        key=lambda point: point.latency_ms,
    )
    answers, standalone, unread = point_answers(points, stores)
    if format == "csv" or (format is None and CSV_TYPE in (accept or "")):
        return conditional(request, to_csv(answers), CSV_TYPE, vary="Accept")
    fidelity, warnings = fidelity_of((point.supernet for point in points), stores)
    said = [reranked_answer(other) for other in others]
    answer = FrontAnswer(
        points=answers,
        reranked=said,
        standalone=standalone,
        fidelity=fidelity,
        warnings=warnings + problems + unread,
    )
    body = answer.model_dump_json().encode()
    return conditional(request, body, "application/json", vary="Accept")


@router.get("/best", operation_id="getBest", summary="Get the most accurate subnet within a budget")
def get_best(
    stores: StoresDep,
    device: DeviceFilter = None,
    supernet: NameFilter = None,
    study: NameFilter = None,
    max_latency_ms: NumberFilter = None,
    min_top1: NumberFilter = None,
) -> BestAnswer:
    """The most accurate subnet that satisfies the constraints, the faster one of equals.

    404 names the constraint that nothing satisfies and the point that comes nearest.
    """
    points = stores.studies.fronts(device=device, supernet=supernet, study=study)
    others, problems = _unsearched(device, supernet, study, stores)
    points += [point for other in others for point in other.points]
    if not points:
        where = " and ".join(
            f"{name} {value!r}"
            for name, value in (("device", device), ("supernet", supernet), ("study", study))
            if value is not None
        )
        raise NoFeasiblePointError(f"there is no front{' for ' + where if where else ''} yet", {})
    fitting = [point for point in points if _fits(point, max_latency_ms, min_top1)]
    if not fitting:
        raise _nothing_fits(points, max_latency_ms, min_top1)
    best = min(fitting, key=lambda point: (-point.top1, point.latency_ms, point.subnet_id))
    fidelity, warnings = fidelity_of([best.supernet], stores)
    said = [reranked_answer(other) for other in others if best in other.points]
    (answer,), standalone, unread = point_answers([best], stores)
    return BestAnswer(
        **dict(answer),
        reranked=said,
        standalone=standalone,
        fidelity=fidelity,
        warnings=warnings + problems + unread,
    )


def _unsearched(
    device: str | None, supernet: str | None, study: str | None, stores: Stores
) -> tuple[list[Reranked], list[str]]:
    """Re-ranked fronts of supernets without a stored front on the device, and warnings; see ``reranked``.

    None unless a device is named.
    """
    if device is None or study is not None:
        return [], []
    searched = {point.supernet for point in stores.studies.fronts(device=device, supernet=supernet)}
    return reranked(device, supernet, stores, leave_out=searched)


def _fits(point: FrontPoint, max_latency_ms: float | None, min_top1: float | None) -> bool:
    fast = max_latency_ms is None or point.latency_ms <= max_latency_ms
    return fast and (min_top1 is None or point.top1 >= min_top1)


def reranked_answer(found: Reranked) -> RerankedAnswer:
    """What a re-ranked front rests on, on the wire."""
    record, missing = found.predictor, found.missing
    return RerankedAnswer(
        supernet=record.supernet,
        device=record.device,
        predictor=record.id,
        n_samples=record.n_samples,
        n_evaluated=found.n_evaluated,
        hypervolume=missing.hypervolume,
        missing_hypervolume=missing.missing,
        missing_share=missing.share,
        reference_ms=missing.reference_ms,
    )


def to_csv(points: Sequence[FrontPointAnswer]) -> bytes:
    """A CSV table (RFC 4180) with a header line; text that a spreadsheet would run is quoted by ``'``."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(CSV_COLUMNS)
    for point in points:
        writer.writerow([guard_cell(getattr(point, column)) for column in CSV_COLUMNS])
    return out.getvalue().encode()


def guard_cell(value: object) -> object:
    """The value as a spreadsheet may see it: texts that begin like a formula get a leading ``'``."""
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return f"'{value}"
    return value


def _nothing_fits(
    points: Sequence[FrontPoint], max_latency_ms: float | None, min_top1: float | None
) -> NoFeasiblePointError:
    """Names the constraint at fault: the latency if no point meets it alone, else the accuracy."""
    if max_latency_ms is not None and all(point.latency_ms > max_latency_ms for point in points):
        nearest = min(points, key=lambda point: point.latency_ms)
        constraint = {"metric": "latency_ms", "maximum": max_latency_ms}
        detail = f"no subnet has latency_ms <= {max_latency_ms:g}; the nearest has {nearest.latency_ms:.4g}"
    else:
        within = [p for p in points if max_latency_ms is None or p.latency_ms <= max_latency_ms]
        nearest = max(within, key=lambda point: point.top1)
        constraint = {"metric": "top1", "minimum": min_top1}
        limit = f" within latency_ms <= {max_latency_ms:g}" if max_latency_ms is not None else ""
        detail = f"no subnet has top1 >= {min_top1:g}{limit}; the nearest has {nearest.top1:.4g}"
    extra = {"constraint": constraint, "nearest": point_answer(nearest).model_dump(mode="json")}
    return NoFeasiblePointError(detail, extra)
