"""Images by the name of their source: ``digits``, ``cifar10:PATH``, ``imagefolder:PATH?size=64`` …."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from nas.data.cifar10 import read_cifar10
from nas.data.digits import read_digits
from nas.data.fashion_mnist import DEBIAN_PATH, read_fashion_mnist
from nas.data.imagefolder import read_imagefolder
from nas.data.parquet import read_parquet
from nas.data.split import split_indices
from nas.data.types import ImageData, ImageSource, Report, Split
from nas.errors import DataError

__all__ = ["SOURCES", "ImageData", "Split", "load_data"]

SOURCES = (
    "digits",
    "fashion-mnist[:PATH]",
    "cifar10:PATH",
    "imagefolder:PATH[?size=PIXELS]",
    "parquet:PATH[?image=COLUMN&label=COLUMN&size=PIXELS]",
)
MIN_SIZE, MAX_SIZE = 8, 1024  # pixels


def load_data(
    source: str, *, seed: int = 0, limit: int | None = None, report: Report | None = None
) -> ImageData:
    """The images of ``source``, one of SOURCES, decoded and divided.

    An official test or validation set is kept; a missing one is cut from the training images
    (``nas.data.split``). ``seed`` decides the split: the same seed, the same split. ``limit``
    keeps at most that many images of each split and decodes no others.
    ``report(what, done, total)`` is called while images are decoded.

    Raises DataError, which names the file, for what is missing, damaged or of a wrong shape;
    ConfigError for a bad seed or limit.
    """
    found = _open(source)
    splits = split_indices(found, seed=seed, limit=limit)
    images = found.decode(np.concatenate(splits), report or _silent)
    starts = np.cumsum([len(split) for split in splits])[:-1]
    train, val, test = (
        Split(part, found.labels[split]) for part, split in zip(np.split(images, starts), splits, strict=True)
    )
    return ImageData(found.name, found.classes, train, val, test)


def _silent(what: str, done: int, total: int) -> None:
    """Report to nobody."""


def _open(source: str) -> ImageSource:
    kind, _, rest = source.partition(":")
    text, _, query = rest.partition("?")
    match kind:
        case "digits" if not rest:
            return read_digits()
        case "fashion-mnist":
            _options(source, query, ())
            return read_fashion_mnist(_path(source, text) if text else DEBIAN_PATH)
        case "cifar10":
            _options(source, query, ())
            return read_cifar10(_path(source, text))
        case "imagefolder":
            options = _options(source, query, ("size",))
            return read_imagefolder(_path(source, text), size=_size(source, options))
        case "parquet":
            options = _options(source, query, ("image", "label", "size"))
            return read_parquet(
                _path(source, text),
                image=options.get("image"),
                label=options.get("label"),
                size=_size(source, options),
            )
        case _:
            raise DataError(f"no data source {source!r}; there are {', '.join(SOURCES)}")


def _path(source: str, text: str) -> Path:
    if not text:
        raise DataError(f"data source {source!r} needs a path, as in {source.partition(':')[0]}:PATH")
    path = Path(text).expanduser()
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder")
    return path


def _options(source: str, query: str, allowed: tuple[str, ...]) -> Mapping[str, str]:
    options: dict[str, str] = {}
    for item in query.split("&") if query else ():
        name, equals, value = item.partition("=")
        if name not in allowed or not equals or not value or name in options:
            raise DataError(
                f"data source {source!r}: {item!r} must be one of NAME=VALUE with NAME in {allowed}"
            )
        options[name] = value
    return options


def _size(source: str, options: Mapping[str, str]) -> int | None:
    text = options.get("size")
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and MIN_SIZE <= int(text[:5]) <= MAX_SIZE):
        raise DataError(
            f"data source {source!r}: size must lie in {MIN_SIZE}..{MAX_SIZE} pixels; got {text!r}"
        )
    return int(text)
