from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nas.data.load import ImageData, load_data
from nas.errors import ConfigError, DataError
from searchspaces.errors import NasError


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load_data("digits")


def rows(data: ImageData) -> list[bytes]:
    splits = (data.train, data.val, data.test)
    return [image.tobytes() for split in splits for image in split.images]


def test_digits_shapes_and_ranges(digits: ImageData) -> None:
    assert (digits.n_classes, digits.in_channels, digits.resolution) == (10, 1, 8)
    assert len(digits.train) + len(digits.val) + len(digits.test) == 1797
    assert digits.train.images.dtype == np.uint8
    assert digits.train.labels.dtype == np.int64
    assert digits.train.images.max() == 255
    assert digits.train.images.min() == 0


def test_splits_partition_the_source_and_are_stratified(digits: ImageData) -> None:
    from sklearn.datasets import load_digits

    pixels, _ = load_digits(return_X_y=True)
    expected = np.round(pixels * (255 / 16)).astype(np.uint8)
    assert sorted(rows(digits)) == sorted(row.tobytes() for row in expected)
    for split, share in ((digits.train, 0.64), (digits.val, 0.16), (digits.test, 0.20)):
        counts = np.bincount(split.labels, minlength=10)
        assert counts.min() >= 0.9 * share * 174
        assert len(split) == pytest.approx(share * 1797, rel=0.02)


def test_same_seed_same_data_other_seed_other_split(digits: ImageData) -> None:
    again, other = load_data("digits"), load_data("digits", seed=1)
    assert again.digest == digits.digest
    assert other.digest != digits.digest
    assert sorted(rows(other)) == sorted(rows(digits))


def test_digest_sees_one_pixel_one_label_and_the_classes(digits: ImageData) -> None:
    changed = load_data("digits")
    changed.val.images[0, 0, 0, 0] ^= 1
    assert changed.digest != digits.digest
    changed = load_data("digits")
    changed.train.labels[0] = (changed.train.labels[0] + 1) % 10
    assert changed.digest != digits.digest
    named = ImageData("digits", tuple("abcdefghij"), digits.train, digits.val, digits.test)
    assert named.digest != digits.digest


@pytest.mark.parametrize("limit", [10, 57, 200])
def test_limit_bounds_every_split_and_keeps_every_class(limit: int) -> None:
    data = load_data("digits", limit=limit)
    for split in (data.train, data.val, data.test):
        assert limit - 10 < len(split) <= limit
        assert len(np.unique(split.labels)) == 10


def test_limit_takes_from_the_same_split(digits: ImageData) -> None:
    small = load_data("digits", limit=50)
    everything = {image.tobytes() for image in digits.test.images}
    assert all(image.tobytes() in everything for image in small.test.images)


def test_progress_ends_at_the_total() -> None:
    calls: list[tuple[str, int, int]] = []
    load_data("digits", report=lambda *call: calls.append(call))
    assert calls[-1] == ("decode", 1797, 1797)


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("", "no data source ''"),
        ("mnist", "no data source 'mnist'; there are digits"),
        ("digits:/tmp", "no data source 'digits:/tmp'"),
        ("cifar10", "needs a path"),
        ("imagefolder:", "needs a path"),
        ("parquet:../../x", r"\.\./\.\./x: there is no such file"),
        ("imagefolder:/?size=9000", "size must lie in 8..1024 pixels; got '9000'"),
        ("imagefolder:/?size=٦٤", "size must lie in"),
        ("imagefolder:/?size", "'size' must be one of NAME=VALUE"),
        ("imagefolder:/?width=8", "'width=8' must be one of NAME=VALUE"),
        ("imagefolder:/?size=8&size=9", "'size=9' must be"),
        ("cifar10:/?size=8", "'size=8' must be"),
    ],
)
def test_bad_source_is_refused_and_named(source: str, part: str) -> None:
    with pytest.raises(DataError, match=part) as caught:
        load_data(source)
    assert isinstance(caught.value, NasError)


def test_bad_seed_and_limit(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="seed must be at least 0; got -1"):
        load_data("digits", seed=-1)
    with pytest.raises(ConfigError, match="limit must be at least the number of classes, 10; got 9"):
        load_data("digits", limit=9)
