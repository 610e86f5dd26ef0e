"""Submitting, watching and cancelling jobs."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from db.jobs import JobStore
from db.records import Job, JobKind, JobState
from service.deps import Cursor, IdempotencyKey, JobId, Limit, StateDep, StoresDep
from service.schemas.jobs import KINDS, STATES, JobAnswer, JobPage, JobSubmission
from service.schemas.results import ArtifactAnswer, ArtifactList
from service.validate import check, payload_of
from service.web.body import StrictRoute
from service.web.sse import job_events

MAX_WAIT_S = 30.0
POLL_S = 0.1
LAST_EVENT = 2**31 - 1
EVENT_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}
}
router = APIRouter(prefix="/jobs", tags=["jobs"], route_class=StrictRoute)


@router.post("", status_code=202, operation_id="submitJob", summary="Submit a job")
def submit_job(
    request: Request,
    response: Response,
    state: StateDep,
    submission: Annotated[JobSubmission, Body()],
    idempotency_key: IdempotencyKey = None,
) -> JobAnswer:
    """Queue a job and answer at once; its progress is at the Location."""
    stores, kind, payload = state.stores, JobKind(submission.kind), payload_of(submission)
    known = idempotency_key is not None and stores.jobs.find_by_key(idempotency_key) is not None
    if not known:  # a repeated request gets its job even where a new one could not be done any more
        check(submission, stores, state.settings)
    job = stores.jobs.submit(kind, payload, idempotency_key=idempotency_key)
    response.headers["Location"] = f"{request.scope['path']}/{job.id}"
    response.headers["Retry-After"] = "1"
    return answer(job)


@router.get("", operation_id="listJobs", summary="List jobs")
def list_jobs(
    stores: StoresDep,
    kind: KINDS | None = None,
    state: STATES | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> JobPage:
    """Jobs, newest first."""
    page = stores.jobs.list(
        kind=None if kind is None else JobKind(kind),
        state=None if state is None else JobState(state),
        limit=limit,
        cursor=cursor,
    )
    return JobPage(items=[answer(job) for job in page.items], next_cursor=page.next_cursor)


@router.get("/{job_id}", operation_id="getJob", summary="Get a job")
async def get_job(
    stores: StoresDep,
    response: Response,
    job_id: JobId,
    prefer: Annotated[
        str | None, Header(max_length=200, description="wait=N: up to N <= 30 s for the end")
    ] = None,
) -> JobAnswer:
    """A job as it stands, or once it has ended when the client prefers to wait (RFC 7240)."""
    wait_s = wait_of(prefer)
    job = await _ended(stores.jobs, job_id, wait_s)
    if wait_s > 0:
        response.headers["Preference-Applied"] = f"wait={wait_s:g}"
    return answer(job)


@router.post("/{job_id}:cancel", status_code=202, operation_id="cancelJob", summary="Cancel a job")
def cancel_job(stores: StoresDep, job_id: JobId) -> JobAnswer:
    """Ask a job to stop. A pending job is cancelled at once; what a running one has stored stays."""
    return answer(stores.jobs.cancel(job_id))


@router.get(
    "/{job_id}/events",
    operation_id="streamJobEvents",
    summary="Stream a job's events",
    response_class=StreamingResponse,
    responses=EVENT_STREAM,
)
def stream_events(
    stores: StoresDep,
    job_id: JobId,
    last_event_id: Annotated[int, Header(ge=0, le=LAST_EVENT)] = 0,
    after: Annotated[int, Query(ge=0, le=LAST_EVENT, description="As Last-Event-ID, for first requests")] = 0,
) -> StreamingResponse:
    """Server-sent events: ``state``, ``progress`` and ``log``, until the job has ended."""
    stores.jobs.get(job_id)
    start = max(last_event_id, after)
    return StreamingResponse(job_events(stores.jobs, job_id, start), media_type="text/event-stream")


@router.get("/{job_id}/artifacts", operation_id="listJobArtifacts", summary="List a job's files")
def list_artifacts(stores: StoresDep, job_id: JobId) -> ArtifactList:
    """Files that the job stored."""
    stores.jobs.get(job_id)
    records = stores.artifacts.list_for_job(job_id)
    return ArtifactList(items=[ArtifactAnswer.model_validate(record) for record in records])


def answer(job: Job) -> JobAnswer:
    """A job on the wire."""
    return JobAnswer.model_validate(job)


def wait_of(prefer: str | None) -> float:
    """Seconds of ``wait`` in a Prefer header, at most MAX_WAIT_S; 0 without one."""
    found = re.search(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})", prefer or "")
    return min(float(found[1]), MAX_WAIT_S) if found else 0.0


async def _ended(jobs: JobStore, job_id: str, wait_s: float) -> Job:
    deadline = time.monotonic() + wait_s
    while True:
        job = await run_in_threadpool(jobs.get, job_id)
        if job.state.is_final or time.monotonic() >= deadline:
            return job
        await asyncio.sleep(POLL_S)
