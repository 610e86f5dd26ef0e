"""What profile, search and extract jobs start from: a stored supernet and its images, checked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from db.records import SupernetRecord
from nas.data.load import ImageData, load_data
from nas.errors import CheckpointError, DataError
from nas.evaluate.accuracy import calibration_images
from nas.supernet.calibration import load_calibration
from nas.supernet.checkpoint import load_supernet
from nas.supernet.extract import ExtractedSubnet, calibrate, extract_subnet, fold
from nas.supernet.supernet import Supernet
from searchspaces.space import Arch
from service.jobs.context import JobContext
from service.validate_imports import NO_IMAGES

SPLIT_SEED = 0  # one division of the images for all jobs: what one trains on, no other scores on


@dataclass(frozen=True, slots=True)
class Trained:
    """A stored supernet in eval mode; ``info`` is what its training wrote down."""

    record: SupernetRecord
    supernet: Supernet
    info: dict[str, Any]

    @property
    def has_images(self) -> bool:
        """Whether its images are there; without them accuracies can be predicted, not evaluated."""
        return self.record.data != NO_IMAGES

    def images(self, context: JobContext) -> ImageData:
        """The images that it was trained on, divided as they were then.

        Raises DataError if they are not the same any more, or were never there.
        """
        if not self.has_images:
            raise DataError(f"supernet {self.record.name!r} was imported without its images")
        data = open_data(self.record.data, context)
        if data.digest != self.info["data_digest"]:
            raise DataError(f"{self.record.data}: its images are not those that the supernet was trained on")
        return data

    def calibration(self, data: ImageData | None) -> list[Tensor]:
        """The training images that batch-norm statistics are taken from; without data, its checkpoint's.

        Raises CheckpointError if there are none.
        """
        if data is None:
            return load_calibration(Path(self.record.folder))
        return calibration_images(data.train, seed=int(self.info["seed"]))

    def network(self, arch: Arch, calibration: Sequence[Tensor] = ()) -> ExtractedSubnet:
        """The standalone network of an arch, folded; without ``calibration`` fit for timing only."""
        network = extract_subnet(self.supernet, self.supernet.space.decode(arch))
        if calibration:
            calibrate(network, calibration)
        return fold(network)

    def example(self, network: ExtractedSubnet, batch_size: int = 1) -> Tensor:
        """Random images (B, C, R, R) in [0, 1] that the network takes."""
        generator = torch.Generator().manual_seed(0)
        shape = (batch_size, self.supernet.in_channels, network.resolution, network.resolution)
        return torch.rand(shape, generator=generator)


def open_data(source: str, context: JobContext) -> ImageData:
    """The images of a source, decoded under the eyes of the job's watchers."""
    return load_data(source, seed=SPLIT_SEED, report=context.report)


def open_supernet(name: str, context: JobContext) -> Trained:
    """A stored supernet. Raises CheckpointError if its files are not what was recorded."""
    record = context.stores.supernets.get(name)
    folder = Path(record.folder)
    supernet = load_supernet(folder)
    header = json.loads((folder / "supernet.json").read_text())
    if header["sha256"] != record.digest:
        raise CheckpointError(f"{folder}: the weights are not those recorded for supernet {name!r}")
    return Trained(record, supernet, header["info"])
