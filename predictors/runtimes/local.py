"""The local machine as a device of a runtime."""

from __future__ import annotations

from predictors.device import Device, hardware, local_name
from predictors.errors import InvalidValueError

EXPORTER = 1  # raised whenever our exporter writes ONNX graphs of another speed


def local_device(
    runtime: str, version: str, name: str | None, *, threads: int, batch_size: int, precision: str = "fp32"
) -> Device:
    """The Device; raises InvalidValueError for less than one thread or image."""
    for field, value in (("threads", threads), ("batch_size", batch_size)):
        if value < 1:
            raise InvalidValueError(f"{field} must be at least 1; got {value}")
    return Device(
        name=name or local_name(runtime),
        hardware=hardware(),
        runtime=runtime,
        runtime_version=version,
        threads=threads,
        precision=precision,
        batch_size=batch_size,
    )
