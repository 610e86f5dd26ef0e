"""A job's events as server-sent events, resumable by Last-Event-ID."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import orjson
from fastapi.concurrency import run_in_threadpool

from db.jobs import JobStore
from db.records import JobEvent, JobState

POLL_S = 0.25
HEARTBEAT_S = 15.0
RETRY_MS = 1000


def format_event(event: JobEvent) -> bytes:
    """One event on the wire; its id is the sequence number within the job."""
    data = orjson.dumps({**event.data, "created_at": event.created_at.isoformat()})
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.seq, event.kind.encode(), data)


async def job_events(jobs: JobStore, job_id: str, after: int) -> AsyncIterator[bytes]:
    """Events numbered above ``after`` as they happen, until the job's final one.

    A comment is sent every HEARTBEAT_S seconds of silence, so that dead connections are noticed.
    """
    yield b"retry: %d\n\n" % RETRY_MS
    last_sent = time.monotonic()
    while True:
        # State first: a job that is final now has all its events stored already.
        job = await run_in_threadpool(jobs.get, job_id)
        events = await run_in_threadpool(jobs.events, job_id, after=after)
        for event in events:
            yield format_event(event)
            after, last_sent = event.seq, time.monotonic()
        if not events:
            if JobState(job.state).is_final:
                return
            if time.monotonic() - last_sent > HEARTBEAT_S:
                yield b": waiting\n\n"
                last_sent = time.monotonic()
            await asyncio.sleep(POLL_S)
