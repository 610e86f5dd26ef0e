"""What an agent measures as, and whether it still is the machine that was enrolled."""

from __future__ import annotations

from dataclasses import asdict, replace

from predictors.agent.wire import Description
from predictors.device import Device
from predictors.errors import DeviceMismatchError
from predictors.runtimes.local import EXPORTER


def agent_device(name: str, description: Description) -> Device:
    """The device of an agent.

    Its name is part of the hardware, and so of the fingerprint: two machines that describe themselves
    alike need not be equally fast, and their samples must not enter one fit. The exporter that writes
    the models is the server's, so its version is added here.
    """
    device = description.device(name)
    return replace(
        device,
        hardware=f"{device.hardware}, agent {name}",
        runtime_version=f"{device.runtime_version}+export{EXPORTER}",
    )


def require_same_machine(name: str, enrolled: Description, now: Description) -> None:
    """Raise DeviceMismatchError, which names the field, unless the agent describes itself as before."""
    before, after = asdict(enrolled), asdict(now)
    for field, value in before.items():
        if after[field] != value:
            raise DeviceMismatchError(
                f"device.{field} of agent {name!r} was {value!r} when it was enrolled and is "
                f"{after[field]!r} now: enroll it again with a new code, or under another name"
            )
