"""Which devices a predictor can be transferred from; loads neither torch nor ray."""

from __future__ import annotations

from searchspaces.space import SearchSpace
from service.stores import Stores

FULL = 40  # measurements of one device from which its own predictor is as good as a transferred one
OWN_MIN = 20  # measurements that a predictor of the device alone needs


def other_devices(space: SearchSpace, fingerprint: str | None, stores: Stores) -> list[tuple[str, str]]:
    """Pairs (supernet, fingerprint) with FULL measurements of the space on another device."""
    measured = stores.devices.measured_in(space.id)
    return [(supernet, other) for supernet, other, n in measured if other != fingerprint and n >= FULL]
