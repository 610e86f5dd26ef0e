"""What device agents ask: they enroll, lease measurement tasks, renew, give back, and finish them.

Every route but the first takes the agent's own token, which opens nothing else.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Response

from db.remote.records import MeasurementTask
from predictors.agent.wire import Description
from predictors.campaign import Campaign
from service.agents.auth import AgentDep, CodeDep
from service.agents.identity import agent_device, require_same_machine
from service.agents.results import campaign_of, check_clock, check_result
from service.agents.secret import TOKEN, digest_of, new_secret
from service.deps import StateDep, StoresDep
from service.schemas.agents import (
    DeviceBody,
    EnrollBody,
    EnrolledAnswer,
    FinishBody,
    HeartbeatBody,
    LeaseAnswer,
    LeaseBody,
    ReleaseBody,
    TaskAnswer,
    TaskStateAnswer,
)
from service.web.body import StrictRoute

router = APIRouter(prefix="/agent", tags=["agent"], route_class=StrictRoute)
# JOB-NUMBER, or JOB-CAMPAIGN-NUMBER where a job has several campaigns.
TaskId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}(-[0-9a-z]{1,12})?-[0-9]{1,6}$")]
NONE_NOW: dict[int | str, dict[str, Any]] = {204: {"description": "No task now"}}


@router.post("/enroll", status_code=201, operation_id="enrollAgent", summary="Become an agent")
def enroll(stores: StoresDep, code: CodeDep, body: Annotated[EnrollBody, Body()]) -> EnrolledAnswer:
    """Trade a one-time code, sent as the bearer token, for a token of the machine's own."""
    check_clock(body.clock)
    name = stores.agents.find_code(code).agent
    token, description = new_secret(TOKEN), _description(body.device)
    device = agent_device(name, description)
    stores.agents.enroll(code, description, device, token_sha256=digest_of(token))
    return EnrolledAnswer(name=name, token=token)


@router.post(
    "/lease",
    operation_id="leaseMeasurementTask",
    summary="Lease a measurement task",
    response_model=TaskAnswer,
    responses=NONE_NOW,
)
def lease(agent: AgentDep, state: StateDep, body: Annotated[LeaseBody, Body()]) -> TaskAnswer | Response:
    """The agent's next task, to be renewed by heartbeats; 204 when there is none, or it holds one."""
    state.stores.agents.seen(agent.name)
    check_clock(body.clock)
    require_same_machine(agent.name, agent.description, _description(body.device))
    ttl_s = state.settings.agent_lease_s
    fingerprint = agent_device(agent.name, agent.description).fingerprint
    task = state.stores.measurements.lease(agent.name, body.claim_id, fingerprint=fingerprint, ttl_s=ttl_s)
    if task is None:
        return Response(status_code=204)
    return TaskAnswer(
        id=task.id,
        epoch=task.epoch,
        ttl_s=ttl_s,
        protocol=asdict(task.protocol),
        candidates=[candidate.sha256 for candidate in task.candidates],
        references=list(task.references),
    )


@router.post(
    "/tasks/{task_id}:heartbeat", operation_id="renewMeasurementTask", summary="Renew the lease of a task"
)
def heartbeat(
    agent: AgentDep, state: StateDep, task_id: TaskId, body: Annotated[HeartbeatBody, Body()]
) -> LeaseAnswer:
    """409 when the lease is lost: somebody else may have the task, or nobody wants it any more."""
    ttl_s = state.settings.agent_lease_s
    progress = {"done": body.done, "total": body.total}
    state.stores.agents.seen(agent.name)
    state.stores.measurements.heartbeat(task_id, agent.name, body.epoch, ttl_s=ttl_s, progress=progress)
    return LeaseAnswer(ttl_s=ttl_s)


@router.post("/tasks/{task_id}:release", operation_id="releaseMeasurementTask", summary="Give a task back")
def release(
    agent: AgentDep, stores: StoresDep, task_id: TaskId, body: Annotated[ReleaseBody, Body()]
) -> TaskStateAnswer:
    """The task can be leased again; after three attempts it is dead."""
    stores.measurements.release(task_id, agent.name, body.epoch, body.reason)
    return _state(stores.measurements.get(task_id, agent.name))


@router.post("/tasks/{task_id}:finish", operation_id="finishMeasurementTask", summary="Post raw times")
def finish(
    agent: AgentDep, stores: StoresDep, task_id: TaskId, body: Annotated[FinishBody, Body()]
) -> TaskStateAnswer:
    """Store the result of a leased task; the same again changes nothing.

    A result whose references or repeats disagree is kept as suspect, enters no fit, and quarantines
    the agent.
    """
    require_same_machine(agent.name, agent.description, _description(body.device))
    check_clock(body.clock)
    task = stores.measurements.get(task_id, agent.name)
    if not task.state.is_final and task.epoch == body.epoch:  # of a lost lease the store says so
        check_result(task, body)
    result = body.model_dump(mode="json", include={"samples", "repeats", "references", "failures"})

    def campaign(task: MeasurementTask) -> Campaign:
        return campaign_of(task, result, agent.device)

    stores.agents.seen(agent.name)
    return _state(stores.measurements.finish(task_id, agent.name, body.epoch, result, campaign))


def _description(body: DeviceBody) -> Description:
    return Description(**body.model_dump())


def _state(task: MeasurementTask) -> TaskStateAnswer:
    return TaskStateAnswer(id=task.id, state=task.state.value, reason=task.error)
