"""The job state machine as data: every allowed (state, event) pair and where it leads."""

from __future__ import annotations

from enum import StrEnum

from db.records import JobState


class JobAction(StrEnum):
    """What can happen to a job."""

    CLAIM = "claim"  # a worker takes it
    CANCEL = "cancel"  # a client asks for its end
    SUCCEED = "succeed"  # the runner commits its result
    FAIL = "fail"  # the runner reports a permanent error
    STOP = "stop"  # the runner has stopped because it was asked to
    RETRY = "retry"  # the runner or its lease is gone; attempts are left
    GIVE_UP = "give up"  # the runner or its lease is gone; no attempt is left


MAX_ATTEMPTS = 3
HELD = (JobState.RUNNING, JobState.CANCELLING)  # states in which a runner holds the job
TRANSITIONS: dict[tuple[JobState, JobAction], JobState] = {
    (JobState.PENDING, JobAction.CLAIM): JobState.RUNNING,
    (JobState.PENDING, JobAction.CANCEL): JobState.CANCELLED,
    (JobState.RUNNING, JobAction.CANCEL): JobState.CANCELLING,
    (JobState.RUNNING, JobAction.SUCCEED): JobState.SUCCEEDED,
    (JobState.RUNNING, JobAction.FAIL): JobState.FAILED,
    (JobState.RUNNING, JobAction.RETRY): JobState.PENDING,
    (JobState.RUNNING, JobAction.GIVE_UP): JobState.FAILED,
    # cancelling is a request: whatever the runner commits first wins
    (JobState.CANCELLING, JobAction.SUCCEED): JobState.SUCCEEDED,
    (JobState.CANCELLING, JobAction.FAIL): JobState.FAILED,
    (JobState.CANCELLING, JobAction.STOP): JobState.CANCELLED,
    (JobState.CANCELLING, JobAction.RETRY): JobState.CANCELLED,
    (JobState.CANCELLING, JobAction.GIVE_UP): JobState.CANCELLED,
}


def sources(action: JobAction) -> tuple[JobState, ...]:
    """The states in which the action is allowed."""
    return tuple(state for state, allowed in TRANSITIONS if allowed is action)
