"""Wire model of what was measured of subnets."""

from __future__ import annotations

from datetime import datetime

from service.schemas.base import Answer


class MeasurementAnswer(Answer):
    """What one campaign measured of a subnet on a device; times are on the scale of its first campaign.

    ``run_peak_memory_bytes`` was measured while the network ran, unlike the closed-form
    ``peak_memory_bytes`` of its cost. Null: not asked for, or not measurable there. Measurements of a
    campaign that did not repeat itself are ``suspect``, as they came, and enter no fit.
    """

    device: str
    fingerprint: str
    campaign: str
    latency_ms: float
    iqr_ms: float
    file_size_bytes: int | None
    run_peak_memory_bytes: int | None
    energy_mj: float | None
    suspect: bool
    measured_at: datetime
