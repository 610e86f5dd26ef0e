"""Recorded measurements of a space's archs: accuracies and latencies that were published."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from searchspaces.errors import TableError
from searchspaces.space import SearchSpace, Value

TOP1 = "top1_"  # prefix of the arrays that hold accuracies


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """n archs of a space as option indices, and what was measured of them.

    ``genes`` (n, d) int; ``choices`` d pairs of a choice's name and its values in order;
    ``devices`` m names; ``latency_ms`` (n, m) float; ``top1`` data set to accuracies (n,) in [0, 1].
    """

    path: Path
    genes: NDArray[np.int64]
    choices: tuple[tuple[str, tuple[Value, ...]], ...]
    devices: tuple[str, ...]
    latency_ms: NDArray[np.float64]
    top1: Mapping[str, NDArray[np.float64]]


def read_table(path: Path) -> Table:
    """The table in an ``.npz`` file with ``genes``, ``choices`` (JSON) and optionally ``devices``,
    ``latency_ms`` and ``top1_DATASET``; never unpickles.

    Raises TableError, which names the file and the array, for what is missing, damaged or of
    another shape, genes out of range, and accuracies outside [0, 1].
    """
    arrays = _arrays(path)
    choices = _choices(path, arrays)
    genes = _array(path, arrays, "genes", kinds="iu", shape=(None, len(choices))).astype(np.int64)
    options = np.array([len(values) for _, values in choices])
    if genes.size and not ((genes >= 0) & (genes < options)).all():
        row, column = np.argwhere((genes < 0) | (genes >= options))[0]
        raise TableError(
            f"{path}: genes[{row}, {column}] is {genes[row, column]}; {choices[column][0]!r} has options "
            f"0..{options[column] - 1}"
        )
    n = len(genes)
    devices = tuple(str(name) for name in arrays.get("devices", np.empty(0, dtype="<U1")))
    latency = np.zeros((n, 0))
    if "latency_ms" in arrays:
        latency = _array(path, arrays, "latency_ms", kinds="fiu", shape=(n, len(devices))).astype(np.float64)
    top1 = {name[len(TOP1) :]: _top1(path, arrays, name, n) for name in arrays if name.startswith(TOP1)}
    return Table(path, genes, choices, devices, latency, top1)


def check_genes(table: Table, space: SearchSpace) -> None:
    """Raises TableError, naming both sides, unless a row of the table is an arch of the space."""
    if len(table.choices) != len(space.choices):
        raise TableError(
            f"{table.path} has {len(table.choices)} choices, {space.id} has {len(space.choices)}: "
            f"{[name for name, _ in table.choices]} against {[choice.name for choice in space.choices]}"
        )
    for (name, values), choice in zip(table.choices, space.choices, strict=True):
        if (name, values) != (choice.name, choice.values):
            raise TableError(
                f"{table.path} has the choice {name!r} of {values}, "
                f"{space.id} {choice.name!r} of {choice.values}"
            )


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        loaded = np.load(path, allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            raise TableError(f"{path}: a table is an .npz file")
        with loaded as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError as error:
        raise TableError(f"{path}: there is no such file") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise TableError(f"{path}: not a table: {error}") from error


def _choices(path: Path, arrays: Mapping[str, NDArray[Any]]) -> tuple[tuple[str, tuple[Value, ...]], ...]:
    text = _array(path, arrays, "choices", kinds="U", shape=())
    try:
        items = json.loads(str(text))
        return tuple((str(item["name"]), tuple(item["values"])) for item in items)
    except (ValueError, TypeError, KeyError) as error:
        raise TableError(
            f"{path}: choices must be a JSON list of {{name, values}}; got {str(text)!r:.80}"
        ) from error


def _top1(path: Path, arrays: Mapping[str, NDArray[Any]], name: str, n: int) -> NDArray[np.float64]:
    values = _array(path, arrays, name, kinds="f", shape=(n,)).astype(np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise TableError(f"{path}: {name} must lie in [0, 1]; got {values.min()} to {values.max()}")
    return values


def _array(
    path: Path, arrays: Mapping[str, NDArray[Any]], name: str, *, kinds: str, shape: tuple[int | None, ...]
) -> NDArray[Any]:
    """The array of this name; None in ``shape`` is any length."""
    array = arrays.get(name)
    if array is None:
        raise TableError(f"{path}: no array {name!r}; there are {sorted(arrays)}")
    fits = array.ndim == len(shape) and all(
        want in (None, size) for want, size in zip(shape, array.shape, strict=True)
    )
    if not fits or array.dtype.kind not in kinds:
        wanted = tuple("any" if size is None else size for size in shape)
        raise TableError(
            f"{path}: {name} must have shape {wanted} and kind {kinds!r}; got {array.shape} {array.dtype}"
        )
    return array
