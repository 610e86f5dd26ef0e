"""The job's side of a measurement by an agent: tasks out, raw times in. Runs in a runner, without torch."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from db.errors import AgentQuarantinedError
from db.records import ArtifactRecord, Job
from db.remote.records import AgentRecord, AgentState, Candidate, MeasurementTask, NewTask, TaskState
from predictors.campaign import Campaign
from predictors.device import Device
from predictors.errors import DeviceMismatchError, UnstableMeasurementError
from predictors.protocol import MeasurementProtocol
from predictors.references.onnx_models import reference_nets
from predictors.references.plan import VERSION
from predictors.sample import LatencySample
from searchspaces.space import Arch
from service.agents.identity import agent_device
from service.agents.results import campaign_of
from service.errors import AgentUnavailableError
from service.jobs.context import JobContext

TASK_SIZE = 150  # networks; what is posted of them stays well below a body of 1 MiB
POLL_S = 0.5
MEDIA_TYPE = "application/octet-stream"


def measure_on_agent(
    agent: AgentRecord,
    device: Device,
    supernet: str,
    candidates: Iterator[Candidate],
    protocol: MeasurementProtocol,
    job: Job,
    context: JobContext,
    *,
    campaign_id: str | None = None,
) -> Campaign:
    """Have an agent time subnets; its samples are stored, and are returned on the device's scale.

    ``candidates`` makes their stored models. A job that is resumed goes on with the tasks that it
    queued before, and makes none; ``campaign_id`` (the job's id, by default) tells its
    campaigns apart. Raises UnstableMeasurementError for a suspect result, AgentUnavailableError,
    AgentQuarantinedError, DeviceMismatchError when the agent was enrolled again as another machine;
    JobStoppedError when stopped.
    """
    name = campaign_id or job.id
    if not _tasks(name, job, context):
        references = tuple(
            store_model(f"reference-{VERSION}-{number}.onnx", model, job, context)
            for number, model in enumerate(reference_nets())
        )
        tasks = [
            NewTask(f"{name}-{number}", job.id, agent.name, device.fingerprint, protocol, part, references)
            for number, part in enumerate(_parts(candidates))
        ]
        context.stores.measurements.add(tasks)
    done = _wait(name, agent.name, device, job, context)
    return _collect(done, device, supernet, context)


def _tasks(campaign_id: str, job: Job, context: JobContext) -> list[MeasurementTask]:
    """The job's tasks of one campaign."""
    tasks = context.stores.measurements.of_job(job.id)
    return [task for task in tasks if task.id.rpartition("-")[0] == campaign_id]


def _wait(
    campaign_id: str, name: str, device: Device, job: Job, context: JobContext
) -> list[MeasurementTask]:
    """The tasks of a campaign once all are done; raises as ``measure_on_agent``."""
    began = datetime.now(UTC)
    while True:
        context.check_stop()
        agent = context.stores.agents.get(name)  # before its tasks, which say more of a quarantine
        tasks = _tasks(campaign_id, job, context)
        for task in tasks:
            _check(task)
        steps = [_steps(task) for task in tasks]
        context.report("measure", sum(done for done, _ in steps), sum(total for _, total in steps))
        if all(task.state is TaskState.DONE for task in tasks):
            return tasks
        if agent_device(agent.name, agent.description).fingerprint != device.fingerprint:
            raise DeviceMismatchError(f"agent {name!r} was enrolled again as another machine meanwhile")
        _check_agent(agent, began, context.settings.agent_wait_s)
        time.sleep(POLL_S)


def _parts(candidates: Iterator[Candidate]) -> Iterator[tuple[Candidate, ...]]:
    """TASK_SIZE candidates at a time, or a little fewer, in parts of about the same size."""
    found = list(candidates)
    count = -(-len(found) // TASK_SIZE)
    for number in range(count):
        yield tuple(found[number::count])


def store_model(name: str, model: bytes, job: Job, context: JobContext) -> str:
    """Store a model as an artifact of the job; its SHA-256."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.write_bytes(model)
        digest, size = context.stores.files.put(file)
    context.stores.artifacts.put(ArtifactRecord(digest, size, MEDIA_TYPE, name, job.id, datetime.now(UTC)))
    return digest


def _steps(task: MeasurementTask) -> tuple[int, int]:
    """Steps done and steps in all."""
    total = int(task.progress.get("total") or len(task.candidates) + task.protocol.passes)
    return (total if task.state is TaskState.DONE else int(task.progress.get("done", 0))), total


def _check(task: MeasurementTask) -> None:
    if task.state is TaskState.DEAD:
        raise AgentUnavailableError(
            f"agent {task.agent!r} gave the measurement up after {task.attempts} attempts: {task.error}"
        )
    if task.state is TaskState.SUSPECT:
        raise UnstableMeasurementError(
            f"agent {task.agent!r} is quarantined and its result is not used: {task.error}; stop other work "
            f"on that machine, run `nas agents lift {task.agent}` and measure again"
        )


def _check_agent(agent: AgentRecord, began: datetime, patience_s: float) -> None:
    if agent.state is not AgentState.ACTIVE:
        raise AgentQuarantinedError(f"agent {agent.name!r} is {agent.state}: {agent.reason}")
    silence_s = (datetime.now(UTC) - max(began, agent.last_seen_at)).total_seconds()
    if silence_s > patience_s:
        raise AgentUnavailableError(
            f"agent {agent.name!r} was not heard of for {silence_s:.0f} s; is `nas agent` running there?"
        )


def _collect(
    tasks: Sequence[MeasurementTask], device: Device, supernet: str, context: JobContext
) -> Campaign:
    """Store the raw samples of good tasks, and join the tasks on the device's scale."""
    samples: list[LatencySample] = []
    repeats: list[LatencySample] = []
    failures: dict[Arch, str] = {}
    for task in tasks:
        assert task.result is not None  # of a task that is done
        record = context.stores.campaigns.find(task.id)
        assert record is not None
        campaign = campaign_of(task, task.result, device)
        context.stores.devices.add_samples(supernet, campaign.samples, campaign=task.id)
        campaign = campaign.scaled(record.scale)
        samples += campaign.samples
        repeats += campaign.repeats
        failures.update(campaign.failures)
    return Campaign(tuple(samples), tuple(repeats), failures)
