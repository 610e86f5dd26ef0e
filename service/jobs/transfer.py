"""Latency predictors of devices that have few measurements, from devices measured before."""

from __future__ import annotations

import numpy as np

from db.records import Job
from predictors.device import Device
from predictors.transfer.predictor import SourceData, TransferPredictor
from searchspaces.space import SearchSpace
from service.stores import Stores
from service.transfer import FULL, other_devices


def transfer_of(job: Job, space: SearchSpace, device: Device, stores: Stores) -> TransferPredictor | None:
    """An unfitted predictor around what other devices measured of the space, or None.

    Unless the job says, it is used where the device will have fewer than FULL measurements and some
    other has as many. Raises InvalidValueError if it is asked for and there is no other device.
    """
    asked = job.payload.get("transfer")
    if asked is False:
        return None
    sources = _sources(space, device, stores)
    known = len(stores.devices.list_samples(job.payload["supernet"], device.fingerprint))
    if asked is None and (not sources or known + job.payload["samples"] >= FULL):
        return None
    return TransferPredictor(space, device, sources, seed=job.payload["seed"])


def _sources(space: SearchSpace, device: Device, stores: Stores) -> dict[str, SourceData]:
    """By fingerprint; of one that measured several supernets' subnets, the supernet with the most."""
    found: dict[str, SourceData] = {}
    for supernet, fingerprint in other_devices(space, device.fingerprint, stores):
        samples = stores.devices.list_samples(supernet, fingerprint)
        if fingerprint not in found or len(samples) > len(found[fingerprint].archs):
            values = np.array([sample.latency_ms for sample in samples])
            found[fingerprint] = SourceData(tuple(sample.arch for sample in samples), values)
    return found
