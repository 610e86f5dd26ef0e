"""What both int8 runtimes do before and after their own part: export, quantise, compare with eager."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from predictors.runtimes.agreement import require_agreement
from predictors.runtimes.int8.quantise import TOLERANCE, batches_of, quantise, random_batches
from predictors.runtimes.onnx_export import OnnxExporter
from predictors.runtimes.runtime import Images, Session

if TYPE_CHECKING:
    from torch import Tensor, nn

S = TypeVar("S", bound=Session)


class Quantised:
    """Quantised models of modules; layers seen before are exported from memory.

    Without calibration images, the example and seeded random images of its range take their place:
    the times are those of any calibration, but the accuracy of the quantised network is not.
    """

    def __init__(self, runtime: str, calibration: Images | None) -> None:
        self._runtime = runtime
        self._calibration = calibration
        self._exporter = OnnxExporter()

    def open(self, module: nn.Module, example: Tensor, start: Callable[[bytes], S]) -> S:
        """What ``start`` makes of the quantised model.

        Raises UnsupportedModelError if nothing in it can be quantised, or if its logits for the
        calibration images are further than TOLERANCE from those of the module, and
        InvalidValueError for calibration images that the network does not take.
        """
        images = example.numpy()
        given = self._calibration
        batches = random_batches(images) if given is None else batches_of(given, images.shape)
        session = start(quantise(self._exporter.export(module, example), batches))
        checked = _Joined(session, len(images))
        require_agreement(
            checked, module, np.concatenate(batches), tolerance=TOLERANCE, runtime=self._runtime
        )
        return session


class _Joined:
    """A session that takes any number of whole batches."""

    def __init__(self, session: Session, batch_size: int) -> None:
        self._session = session
        self._batch_size = batch_size

    def run(self) -> None:
        """As the session."""
        self._session.run()

    def outputs(self, images: Images) -> Images:
        """Logits, batch by batch."""
        parts = np.split(images, len(images) // self._batch_size)
        return np.concatenate([self._session.outputs(part) for part in parts])
