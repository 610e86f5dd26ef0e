"""Front members on the wire, with what training alone would give where their supernet tells it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from db.errors import SupernetNotFoundError
from db.records import FrontPoint
from nas.errors import FidelityError
from nas.fidelity.alone import FILE, Alone, alone_in
from predictors.errors import CorruptFitError
from searchspaces.registry import get_space
from searchspaces.space import Arch
from service.schemas.alone import StandaloneAnswer
from service.schemas.fronts import FrontPointAnswer
from service.stores import Stores

KEPT = 8  # predictors that are kept in memory
ALONE = ("standalone_top1", "standalone_top1_low", "standalone_top1_high")


def point_answers(
    points: Sequence[FrontPoint], stores: Stores
) -> tuple[list[FrontPointAnswer], list[StandaloneAnswer], list[str]]:
    """The points as they are sent; what their ``standalone_top1`` rests on, per supernet; and warnings."""
    answers = [point_answer(point) for point in points]
    said, warnings = [], []
    for name in sorted({point.supernet for point in points}):
        try:
            found = alone_of(name, stores)
        except (FidelityError, CorruptFitError) as error:
            warnings.append(f"what supernet {name!r} knows of training alone cannot be read: {error}")
            continue
        if found is not None:
            said.append(_standalone(name, found))
            rows = [row for row, point in enumerate(points) if point.supernet == name]
            values = standalone_values(found, [points[row].arch for row in rows])
            for row, update in zip(rows, values, strict=True):
                answers[row] = answers[row].model_copy(update=update)
    return answers, said, warnings


def alone_of(supernet: str, stores: Stores) -> Alone | None:
    """The predictor of the supernet's folder; None without one. Raises FidelityError, CorruptFitError."""
    try:
        record = stores.supernets.get(supernet)
    except SupernetNotFoundError:
        return None
    path = Path(record.folder) / FILE
    return _alone(path.parent, record.space, path.stat().st_mtime_ns) if path.exists() else None


def standalone_values(found: Alone, archs: Sequence[Arch]) -> list[Mapping[str, float]]:
    """The fields ``ALONE`` of each arch."""
    predicted = found.predictor.predict(archs)
    columns = zip(predicted.mean.tolist(), predicted.low.tolist(), predicted.high.tolist(), strict=True)
    return [dict(zip(ALONE, values, strict=True)) for values in columns]


def point_answer(point: FrontPoint) -> FrontPointAnswer:
    """A front member on the wire, without ``standalone_top1``."""
    fields: dict[str, Any] = dict.fromkeys(ALONE)
    for name in FrontPointAnswer.model_fields:
        if name not in ("genes", "values", *ALONE):
            fields[name] = getattr(point, name)
    return FrontPointAnswer(**fields, values=dict(point.values), genes=list(point.arch.genes))


@lru_cache(maxsize=KEPT)
def _alone(folder: Path, space: str, _changed_ns: int) -> Alone | None:
    """What the folder holds; ``_changed_ns`` makes a new entry of a file that was written again."""
    return alone_in(folder, get_space(space.partition("@")[0]))


def _standalone(name: str, found: Alone) -> StandaloneAnswer:
    quality = found.predictor.quality
    return StandaloneAnswer(
        supernet=name,
        runs=len(found.runs.runs),
        recipe=dict(found.runs.recipe),
        spearman=None if quality is None else quality.spearman,
        mae_points=None if quality is None else quality.mae_points,
        coverage_90=None if quality is None else quality.coverage_90,
    )
