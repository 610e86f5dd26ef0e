"""Front points as pandas tables, and as files for other tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.errors import UnknownTableFormatError

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".parquet", ".json")


def front_frame(points: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One row per point of ``Client.front``; the arch's genes and all metrics as columns of their own."""
    import pandas as pd

    rows = []
    for point in points:
        flat = {key: value for key, value in point.items() if not isinstance(value, Mapping)}
        metrics = point.get("values", {})
        rows.append({**flat, **{key: value for key, value in metrics.items() if key not in flat}})
    return pd.DataFrame(rows)


def save_front(points: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the points as CSV, Parquet or JSON records, by the suffix of ``path``.

    Raises UnknownTableFormatError for another suffix, before anything is written.
    """
    if path.suffix not in SUFFIXES:
        raise UnknownTableFormatError(f"{path.name}: the suffix must be one of {', '.join(SUFFIXES)}")
    frame = front_frame(points)
    match path.suffix:
        case ".csv":
            frame.to_csv(path, index=False)
        case ".parquet":
            frame.to_parquet(path, index=False)
        case _:
            frame.to_json(path, orient="records", indent=1)
