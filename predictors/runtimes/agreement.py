"""Does a session compute what the module computes? Asked of every runtime that rewrites networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from predictors.errors import UnsupportedModelError
from predictors.runtimes.runtime import Images, Session

if TYPE_CHECKING:
    from torch import nn

SMALLEST = 1e-6  # logits below this are zero


def relative_error(found: Images, expected: Images) -> float:
    """|found - expected| / |expected|, both as one vector in the L2 norm; inf where found is not finite."""
    difference = float(np.linalg.norm(found - expected))
    return difference / max(float(np.linalg.norm(expected)), SMALLEST) if np.isfinite(difference) else np.inf


def require_agreement(
    session: Session, module: nn.Module, images: Images, *, tolerance: float, runtime: str
) -> float:
    """The relative error of the session's logits for images of its shape.

    Raises UnsupportedModelError when it is above ``tolerance``.
    """
    with torch.inference_mode():
        expected = module(torch.from_numpy(np.ascontiguousarray(images))).numpy()
    error = relative_error(session.outputs(images), expected)
    if error > tolerance:
        raise UnsupportedModelError(
            f"{runtime}: logits differ from PyTorch eager by {error:.2g} of their norm; at most {tolerance:g}"
        )
    return error
