"""Evaluations in a JSON-lines file, so that a long script goes on where it was stopped."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from nas.errors import DataError
from searchspaces.space import Arch, SearchSpace


def open_log(
    log: Path, settings: Mapping[str, object], space: SearchSpace, *, metric: str = "top1"
) -> dict[Arch, float]:
    """The metric (fractions) of the archs that the log holds; a log that is not there is begun.

    Its first line is ``settings``, what an evaluation depends on beside the arch. Raises DataError for
    a log that was written under others.
    """
    if not log.exists():
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(json.dumps(settings) + "\n")
        return {}
    text = log.read_text()
    lines = text[: text.rfind("\n") + 1].splitlines()  # a line cut short by a kill is evaluated again
    log.write_text("".join(f"{line}\n" for line in lines))
    found = json.loads(lines[0]) if lines else None
    if found != settings:
        raise DataError(f"{log}: was written with {found}, not with {settings}; name another file")
    rows = [json.loads(line) for line in lines[1:]]
    return {space.arch(row["genes"]): float(row[metric]) for row in rows}


def append_to_log(log: Path, evaluated: Iterable[tuple[Arch, float]], *, metric: str = "top1") -> None:
    """Add evaluations, a line each."""
    with log.open("a") as file:
        file.writelines(
            json.dumps({"genes": list(arch.genes), metric: value}) + "\n" for arch, value in evaluated
        )
