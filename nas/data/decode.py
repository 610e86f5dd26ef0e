"""Encoded images (PNG, JPEG, …) to one array of equal size and channels."""

from __future__ import annotations

import struct
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from nas.data.types import ImageArray, Report
from nas.errors import DataError

GREY_MODES = frozenset({"1", "L", "LA"})
COLOUR_MODES = frozenset({"RGB", "RGBA", "P", "PA", "CMYK", "YCbCr"})
REPORT_EVERY = 500


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """A file, or the bytes of one; ``where`` names it in messages."""

    where: str
    content: Path | bytes


@dataclass(frozen=True, slots=True)
class _Header:
    size: tuple[int, int]  # width, height in pixels
    is_colour: bool


def decode_images(
    encoded: Sequence[EncodedImage], *, size: int | None, report: Report, resample: bool = True
) -> ImageArray:
    """All images as (n, C, size, size) uint8; C is 1 if every image is grey, else 3.

    Images of another size are cropped centrally to a square and resampled (bicubic), or
    refused where ``resample`` is False. Without ``size`` it is the most common shorter side,
    the smaller one on a tie.

    Raises DataError, which names the image, for what cannot be decoded and for pixel formats
    that would lose precision (16 bits and more).
    """
    headers = [_header(image) for image in encoded]
    if size is None:
        counts = Counter(min(header.size) for header in headers)
        size = min(counts, key=lambda side: (-counts[side], side))
    for image, header in zip(encoded, headers, strict=True):
        if not resample and header.size != (size, size):
            raise DataError(
                f"{image.where}: must be {size}x{size} pixels; is {header.size[0]}x{header.size[1]}"
            )
    channels = 3 if any(header.is_colour for header in headers) else 1
    images = np.empty((len(encoded), channels, size, size), np.uint8)
    for i, image in enumerate(encoded):
        images[i] = _decode(image, size, channels)
        if (i + 1) % REPORT_EVERY == 0 or i + 1 == len(encoded):
            report("decode", i + 1, len(encoded))
    return images


@contextmanager
def _opened(encoded: EncodedImage) -> Iterator[Image.Image]:
    """The image, not yet decoded; whatever goes wrong inside becomes a DataError that names it."""
    content = encoded.content
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(content if isinstance(content, Path) else BytesIO(content)) as image:
                yield image
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise DataError(f"{encoded.where}: has too many pixels: {error}") from error
    except DataError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:  # all that Pillow raises
        raise DataError(f"{encoded.where}: is no readable image: {error}") from error


def _header(encoded: EncodedImage) -> _Header:
    with _opened(encoded) as image:
        if image.mode not in GREY_MODES | COLOUR_MODES:
            raise DataError(
                f"{encoded.where}: pixels of mode {image.mode!r} are not supported; convert to 8 bits"
            )
        return _Header(image.size, image.mode in COLOUR_MODES)


def _decode(encoded: EncodedImage, size: int, channels: int) -> ImageArray:
    with _opened(encoded) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.mode in ("P", "PA"):  # a palette may have transparency, which only RGBA can hold
            upright = upright.convert("RGBA")
        pixels = upright.convert("L" if channels == 1 else "RGB")
        if pixels.size != (size, size):
            pixels = ImageOps.fit(pixels, (size, size), method=Image.Resampling.BICUBIC)
        return np.asarray(pixels).reshape(size, size, channels).transpose(2, 0, 1)
