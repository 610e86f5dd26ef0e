"""Parquet files with a column of encoded images and a column of labels, as model hubs keep them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from nas.data.decode import EncodedImage, decode_images
from nas.data.labels import check_labels
from nas.data.types import TEST, TRAIN, VAL, ImageArray, ImageSource, IndexArray, Report
from nas.errors import DataError

PARTS = {"train": TRAIN, "val": VAL, "valid": VAL, "validation": VAL, "dev": VAL, "test": TEST}
_PART = re.compile(rf"({'|'.join(PARTS)})(?![a-z0-9])")
BATCH_ROWS = 1024


@dataclass(frozen=True, slots=True)
class _Columns:
    image: str
    label: str


def read_parquet(
    path: Path,
    *,
    image: str | None = None,
    label: str | None = None,
    size: int | None = None,
    resample: bool = True,
) -> ImageSource:
    """Images of one parquet file, or of all below a folder.

    A file whose name, or whose subfolder's name, starts with the word ``train``, ``val``,
    ``valid``, ``validation``, ``dev`` or ``test`` belongs to that split; where none does, all
    are training images. The image column holds encoded bytes or
    a struct with a field ``bytes``; the label column holds integers 0..K-1, or strings, whose
    alphabetical order numbers the classes. Columns that are not named are found by type.

    Raises DataError, which names the file, for what is missing, ambiguous or damaged.
    """
    files = _files(path)
    columns = _columns(files[0], _schema(files[0]), image, label)
    raw = [_read_labels(file, columns) for file in files]
    classes, labels = _classes(files, _class_names(_schema(files[0]), columns.label), raw)
    counts = [len(values) for values in raw]
    parts = np.repeat(np.array(_parts(path, files), np.int8), counts)

    def decode(indices: IndexArray, report: Report) -> ImageArray:
        encoded: dict[int, EncodedImage] = {}
        start = 0
        for file, count in zip(files, counts, strict=True):
            wanted = indices[(indices >= start) & (indices < start + count)]
            for row, content in _read_images(file, columns.image, wanted - start):
                encoded[start + row] = EncodedImage(f"{file}, row {row}", content)
            start += count
        return decode_images([encoded[int(i)] for i in indices], size=size, report=report, resample=resample)

    return ImageSource(path.resolve().stem, str(path), classes, labels, parts, decode)


def _files(path: Path) -> list[Path]:
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{path}: has no parquet files")
    return files


def _parts(path: Path, files: Sequence[Path]) -> list[int]:
    """The split of each file; raises DataError where only some names say it."""
    if len(files) == 1:
        return [TRAIN]
    parts: list[int | None] = []
    for file in files:
        names = [file.name] if file.parent == path else [file.name, file.parent.name]
        words = [match[1] for name in names if (match := _PART.match(name))]
        parts.append(PARTS[words[0]] if words else None)
    known = [part for part in parts if part is not None]
    if known and len(known) < len(parts):
        odd = files[parts.index(None)]
        raise DataError(f"{odd}: its name must start with one of {', '.join(PARTS)}, as others here do")
    return known or [TRAIN] * len(files)


def _schema(file: Path) -> Any:
    try:
        return pq.read_schema(file)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{file}: is no readable parquet file: {error}") from error


def _is_image(kind: Any) -> bool:
    if pa.types.is_struct(kind):
        i = kind.get_field_index("bytes")
        return i >= 0 and _is_image(kind.field(i).type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_label(kind: Any) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_label(kind.value_type)
    return bool(pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _columns(file: Path, schema: Any, image: str | None, label: str | None) -> _Columns:
    return _Columns(
        _column(file, schema, "image", image, _is_image), _column(file, schema, "label", label, _is_label)
    )


def _column(file: Path, schema: Any, what: str, name: str | None, fits: Callable[[Any], bool]) -> str:
    """The column called ``name``, or the only one of a fitting type."""
    fitting = [str(field.name) for field in schema if fits(field.type)]
    if name in fitting:
        return name
    if name is not None:
        raise DataError(f"{file}: has no {what} column {name!r}; columns are {_described(schema)}")
    if len(fitting) != 1:
        raise DataError(
            f"{file}: {len(fitting)} columns could be the {what}; name it with ?{what}=COLUMN;"
            f" columns are {_described(schema)}"
        )
    return fitting[0]


def _described(schema: Any) -> str:
    return ", ".join(f"{field.name} ({field.type})" for field in schema)


def _read_labels(file: Path, columns: _Columns) -> NDArray[Any]:
    """The label column: int64 or object (str); both columns must be there, without nulls."""
    found = _columns(file, _schema(file), columns.image, columns.label)
    try:
        column = pq.read_table(file, columns=[found.label]).column(0)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{file}: cannot be read: {error}") from error
    if column.null_count:
        raise DataError(f"{file}: column {found.label!r} has {column.null_count} empty labels")
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_integer(column.type):
        return np.asarray(column.to_numpy()).astype(np.int64)
    return np.array(column.to_pylist(), dtype=object)


def _class_names(schema: Any, label: str) -> tuple[str, ...] | None:
    """Names of the classes that the hub's metadata give for the label column, if any."""
    try:
        names = json.loads(schema.metadata[b"huggingface"])["info"]["features"][label]["names"]
    except (KeyError, TypeError, ValueError):  # metadata are optional and take any form
        return None
    return tuple(map(str, names)) if isinstance(names, list) else None


def _classes(
    files: Sequence[Path], names: tuple[str, ...] | None, raw: Sequence[NDArray[Any]]
) -> tuple[tuple[str, ...], IndexArray]:
    """Class names and the labels of all rows of all files, as indices into them."""
    for file, column in zip(files, raw, strict=True):
        if not len(column):
            raise DataError(f"{file}: has no rows")
        if column.dtype != raw[0].dtype:
            raise DataError(f"{file}: {files[0]} has labels of another type")
    values = np.concatenate(raw)
    if values.dtype == object:
        distinct, labels = np.unique(values, return_inverse=True)
        return tuple(map(str, distinct)), labels.astype(np.int64)
    if names is None:
        distinct = np.unique(values)
        gap = np.flatnonzero(distinct != np.arange(len(distinct)))
        if gap.size:
            raise DataError(f"{files[0].parent}: labels must be 0..K-1, each with images; {gap[0]} has none")
        names = tuple(map(str, distinct))
    checked = [check_labels(column, len(names), str(file)) for file, column in zip(files, raw, strict=True)]
    return names, np.concatenate(checked)


def _read_images(file: Path, column: str, rows: IndexArray) -> list[tuple[int, bytes]]:
    """The encoded images of these rows; reads in batches, so that a large file fits into memory."""
    images: list[tuple[int, bytes]] = []
    if not rows.size:
        return images
    start = 0
    try:
        for batch in pq.ParquetFile(file).iter_batches(batch_size=BATCH_ROWS, columns=[column]):
            array = batch.column(0)
            if pa.types.is_struct(array.type):
                array = array.field("bytes")
            wanted = np.sort(rows[(rows >= start) & (rows < start + len(array))])
            found = array.take(pa.array(wanted - start)).to_pylist()
            images += zip(map(int, wanted), found, strict=True)
            start += len(array)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{file}: cannot be read: {error}") from error
    for row, content in images:
        if content is None:
            raise DataError(f"{file}, row {row}: has no image bytes")
    return images
