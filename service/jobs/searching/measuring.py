"""Measuring subnets on the device that a study searches for: this machine, or an agent's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from db.errors import AgentQuarantinedError
from db.records import Job
from db.remote.records import AgentRecord
from predictors.campaign import Campaign
from predictors.device import Device
from predictors.errors import DeviceMismatchError, UnknownRuntimeError, UnstableMeasurementError
from predictors.protocol import MeasurementProtocol
from searchspaces.space import Arch
from service.agents.identity import agent_device
from service.agents.measuring import measure_on_agent
from service.errors import AgentUnavailableError
from service.jobs.context import JobContext
from service.jobs.inputs import Trained
from service.jobs.measuring import local_runtime, measure_patiently
from service.jobs.remote import export_candidates

ONLINE_S = 60.0  # an agent that was heard of within this time is waited for
# Why a device may not measure now; a search goes on with predictions then, and says so.
NOT_NOW = (
    AgentQuarantinedError,
    AgentUnavailableError,
    DeviceMismatchError,
    UnknownRuntimeError,
    UnstableMeasurementError,
)


def measure_for_search(
    campaign_id: str,
    device: Device,
    trained: Trained,
    archs: Sequence[Arch],
    job: Job,
    context: JobContext,
) -> Campaign:
    """Measure ``archs`` on ``device`` now; the campaign is stored, and returned on the device's scale.

    Raises an error of NOT_NOW if the device is neither this machine nor that of an agent that was
    heard of lately, or if it cannot be believed; JobStoppedError when asked to stop.
    """
    seed = job.payload["seed"]
    agent = context.stores.agents.find(device.name)
    if agent is not None:
        _require_online(agent, device)
        candidates = export_candidates(trained, archs, job, context)
        protocol = MeasurementProtocol(seed=seed)
        return measure_on_agent(
            agent, device, trained.record.name, candidates, protocol, job, context, campaign_id=campaign_id
        )
    runtime = local_runtime(device)
    if runtime is None:
        raise DeviceMismatchError(f"device {device.name!r} is not the worker's machine, and no agent's")
    campaign = measure_patiently(campaign_id, trained, archs, runtime, device, seed, context)
    if campaign is None:
        raise UnstableMeasurementError(
            f"campaigns {campaign_id!r} on {device.name!r} are suspect; the job's log says why"
        )
    return campaign


def _require_online(agent: AgentRecord, device: Device) -> None:
    if agent_device(agent.name, agent.description).fingerprint != device.fingerprint:
        raise DeviceMismatchError(f"agent {agent.name!r} is another machine than its predictor was fitted on")
    silence_s = (datetime.now(UTC) - agent.last_seen_at).total_seconds()
    if silence_s > ONLINE_S:
        raise AgentUnavailableError(
            f"agent {agent.name!r} was not heard of for {silence_s:.0f} s; is `nas agent` running there?"
        )
