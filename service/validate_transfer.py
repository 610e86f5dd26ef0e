"""Checks of profile jobs: that the device can measure, and that what they build on is known."""

from __future__ import annotations

from collections.abc import Iterator

from db.errors import DeviceNotFoundError, PredictorNotFoundError, SupernetNotFoundError
from db.remote.records import AgentState
from predictors.runtimes.requirements import missing
from searchspaces.registry import get_space
from searchspaces.space import SearchSpace
from service.deps import local_device
from service.errors import FieldError
from service.schemas.jobs import ProfileJob
from service.stores import Stores
from service.transfer import FULL, OWN_MIN, other_devices


def check_runs(job: ProfileJob, stores: Stores) -> Iterator[FieldError]:
    """The device's agent is active; a device without an agent is this machine, which can run the runtime."""
    agent = stores.agents.find(job.device)
    if agent is None:
        problem = missing(job.runtime)
        if problem is not None:
            yield FieldError("#/runtime", problem)
    elif agent.state is not AgentState.ACTIVE:
        yield FieldError("#/device", f"agent {agent.name!r} is {agent.state}: {agent.reason or 'enroll it'}")


def check_known(job: ProfileJob, stores: Stores) -> Iterator[FieldError]:
    """What the job builds on is there."""
    try:
        space = get_space(stores.supernets.get(job.supernet).space.partition("@")[0])
    except SupernetNotFoundError:
        return  # which is said of another field
    name = local_device(job.runtime, job.threads) if job.device == "here" else job.device
    try:
        fingerprint = stores.devices.get_device(name).device.fingerprint
    except DeviceNotFoundError:
        fingerprint = None
    yield from _transfer(job, space, fingerprint, stores)
    if job.refine:
        try:
            stores.devices.latest_predictor(job.supernet, name)
        except PredictorNotFoundError as error:
            yield FieldError("#/refine", f"{error}; measure it without first")


def _transfer(
    job: ProfileJob, space: SearchSpace, fingerprint: str | None, stores: Stores
) -> Iterator[FieldError]:
    """There is a device to transfer from where that is asked for, or enough is measured without."""
    samples = job.samples + sum(
        n
        for supernet, other, n in stores.devices.measured_in(space.id)
        if (supernet, other) == (job.supernet, fingerprint)
    )
    is_little = samples < OWN_MIN
    if job.transfer is False and is_little:
        yield FieldError(
            "#/samples",
            f"a predictor of the device alone needs {OWN_MIN} measurements; with these it has {samples}",
        )
    elif (job.transfer or is_little) and not other_devices(space, fingerprint, stores):
        field, least = ("transfer", "") if job.transfer else ("samples", f"; alone it needs {OWN_MIN}")
        yield FieldError(
            f"#/{field}", f"no other device has {FULL} measurements of this space to transfer from{least}"
        )
