"""Comparing a format with the supernet: any doubt is a failure."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from nas.errors import ExportError
from nas.export.parity import TOLERANCE, compare, parity_images, random_images

IMAGES = random_images(0, channels=1, resolution=4)


def logits(images: Tensor) -> Tensor:
    return images.flatten(1)[:, :3]


@pytest.mark.parametrize("batch", [None, 1, 4])
def test_an_equal_format_passes(batch: int | None) -> None:
    found = compare("f", lambda: logits, IMAGES, logits(IMAGES), batch)
    assert (found.format, found.max_abs_error, found.passed, found.error) == ("f", 0.0, True, None)


@pytest.mark.parametrize(
    ("offset", "passed"), [(0.5 * TOLERANCE, True), (2 * TOLERANCE, False), (1.0, False)]
)
def test_the_largest_error_of_any_image_counts(offset: float, passed: bool) -> None:
    expected = logits(IMAGES).clone()
    expected[5, 1] += offset
    found = compare("f", lambda: logits, IMAGES, expected, None)
    assert found.passed is passed
    assert found.max_abs_error == pytest.approx(offset, rel=1e-2)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_logits_that_are_not_finite_fail(value: float) -> None:
    def run(images: Tensor) -> Tensor:
        result = logits(images).clone()
        result[0, 0] = value
        return result

    found = compare("f", lambda: run, IMAGES, logits(IMAGES), 1)
    assert not found.passed
    assert found.max_abs_error is None
    assert found.error == "logits are not finite"


def test_another_shape_fails() -> None:
    found = compare("f", lambda: lambda x: logits(x)[:, :1], IMAGES, logits(IMAGES), None)
    assert not found.passed
    assert found.error == "logits have shape (8, 1); expected (8, 3)"


def test_a_format_right_for_one_batch_size_only_fails() -> None:
    def run(images: Tensor) -> Tensor:
        return logits(images) + (len(images) == 1)

    assert not compare("f", lambda: run, IMAGES, logits(IMAGES), None).passed


def test_a_format_that_does_not_open_fails() -> None:
    def closed() -> None:
        raise ExportError("model.xyz: not a model")

    found = compare("f", closed, IMAGES, logits(IMAGES), None)  # type: ignore[arg-type]
    assert (found.passed, found.error) == (False, "model.xyz: not a model")


def test_images_are_the_same_everywhere_and_the_samples_follow() -> None:
    samples = torch.full((40, 1, 9, 9), 0.25)
    found = parity_images(0, samples, channels=1, resolution=4)
    assert torch.equal(found[:8], IMAGES)
    assert found.shape == (24, 1, 4, 4)
    torch.testing.assert_close(found[8:], torch.full((16, 1, 4, 4), 0.25))
    assert IMAGES[0, 0, 0, :2].tolist() == pytest.approx(FIRST)
    assert not torch.equal(random_images(1, channels=1, resolution=4), IMAGES)


FIRST = [0.4510497450828552, 0.41209232807159424]
