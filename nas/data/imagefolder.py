"""A folder with one subfolder of image files per class, optionally below train/, val/ and test/."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from nas.data.decode import EncodedImage, decode_images
from nas.data.types import TEST, TRAIN, VAL, ImageArray, ImageSource, IndexArray, Report
from nas.errors import DataError

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
PART_FOLDERS = {"train": TRAIN, "val": VAL, "valid": VAL, "validation": VAL, "test": TEST}


def read_imagefolder(folder: Path, *, size: int | None = None) -> ImageSource:
    """``folder``/CLASS/**/IMAGE, or ``folder``/train/CLASS/…, with val/ and test/ if there are any.

    Classes are the names of the (training) subfolders in alphabetical order; hidden files are
    left out. Images become squares of ``size`` pixels (``nas.data.decode``).

    Raises DataError, which names the path, for an empty folder, a file that is no image, or a
    class that only val/ or test/ has.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: must be a folder with one subfolder per class")
    roots = {folder: TRAIN}
    if (folder / "train").is_dir():
        roots = {child: PART_FOLDERS[child.name] for child in _visible(folder) if child.name in PART_FOLDERS}
    classes = tuple(child.name for root in roots if roots[root] == TRAIN for child in _class_folders(root))
    files: list[Path] = []
    labels: list[int] = []
    parts: list[int] = []
    for root, part in roots.items():
        for child in _class_folders(root):
            if child.name not in classes:
                raise DataError(f"{child}: there are no training images of this class")
            found = list(_image_files(child))
            files += found
            labels += [classes.index(child.name)] * len(found)
            parts += [part] * len(found)

    def decode(indices: IndexArray, report: Report) -> ImageArray:
        return decode_images(
            [EncodedImage(str(files[i]), files[i]) for i in indices], size=size, report=report
        )

    return ImageSource(
        folder.resolve().name,
        str(folder),
        classes,
        np.array(labels, np.int64),
        np.array(parts, np.int8),
        decode,
    )


def _visible(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if not child.name.startswith("."))


def _class_folders(root: Path) -> list[Path]:
    folders = [child for child in _visible(root) if child.is_dir()]
    if not folders:
        raise DataError(f"{root}: has no subfolders; needs one per class")
    return folders


def _image_files(folder: Path) -> Iterator[Path]:
    for path in _visible(folder):
        if path.is_dir():
            yield from _image_files(path)
        elif path.suffix.lower() in SUFFIXES:
            yield path
        else:
            raise DataError(f"{path}: is no image file; names end in {', '.join(sorted(SUFFIXES))}")
