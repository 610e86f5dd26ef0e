"""Whether the result of a measurement task can be true, and the campaign that it holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from db.remote.records import MeasurementTask
from predictors.agent.wire import CANDIDATES, REFERENCES, numbered
from predictors.campaign import Campaign
from predictors.device import Device
from predictors.plausible import absurdities
from predictors.rounds import repeated_archs
from predictors.sample import LatencySample, Quantities
from searchspaces.space import Arch
from service.errors import FieldError, InvalidAgentRequestError
from service.schemas.agents import ClockBody, FinishBody, TimesBody

MAX_SKEW_S = 300.0  # between the clocks of agent and server
SLACK_S = 5.0  # between the clocks of server and database


def check_clock(clock: ClockBody) -> None:
    """Raise InvalidAgentRequestError for an agent whose date is wrong: its times are dated by it."""
    skew = clock.sent_at - datetime.now(UTC).timestamp()
    if abs(skew) > MAX_SKEW_S:
        raise InvalidAgentRequestError(
            FieldError(
                "#/clock/sent_at",
                f"the agent's clock is {abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}; "
                f"at most {MAX_SKEW_S:.0f} s is allowed: set it, for example by NTP",
            )
        )


def check_result(task: MeasurementTask, body: FinishBody) -> None:
    """Raise InvalidAgentRequestError, which names the fields, for what was not asked or cannot be."""
    errors = [*_numbers(task, body), *_times(task, body), *_duration(task, body)]
    if errors:
        raise InvalidAgentRequestError(*errors[:20])


def campaign_of(task: MeasurementTask, result: Mapping[str, Any], device: Device) -> Campaign:
    """The campaign of a checked result over the archs of its task."""
    archs = [candidate.arch for candidate in task.candidates]

    def samples(field: str, of: Sequence[Arch]) -> tuple[LatencySample, ...]:
        return tuple(
            LatencySample(
                of[item["index"]],
                device,
                tuple(item["cpu_ms"]),
                tuple(item["wall_ms"]),
                Quantities(**item.get("quantities", {})),  # early results have none
            )
            for item in result[field]
        )

    return Campaign(
        samples("samples", archs),
        samples("repeats", archs),
        {archs[item["index"]]: item["reason"] for item in result["failures"]},
        samples("references", numbered(REFERENCES, len(task.references))),
    )


def _numbers(task: MeasurementTask, body: FinishBody) -> Iterator[FieldError]:
    """Exactly the networks of the task, and those twice that the protocol says."""
    failed = {item.index for item in body.failures}
    if not failed <= set(range(len(task.candidates))) or len(failed) != len(body.failures):
        yield FieldError("#/failures", "must name networks of the task, each once")
    asked = numbered(CANDIDATES, len(task.candidates))
    expected = {
        "samples": [arch.genes[0] for arch in asked],
        "repeats": [arch.genes[0] for arch in repeated_archs(asked, task.protocol)],
    }
    for field, numbers in expected.items():
        wanted = [number for number in numbers if number not in failed]
        if [item.index for item in getattr(body, field)] != wanted:
            yield FieldError(f"#/{field}", f"must be of the networks {_short(wanted)}, in this order")
    if [item.index for item in body.references] != list(range(len(task.references))):
        yield FieldError("#/references", f"must be of all {len(task.references)} references, in order")


def _times(task: MeasurementTask, body: FinishBody) -> Iterator[FieldError]:
    counts = {len(times) for _, item in _entries(body) for times in (item.cpu_ms, item.wall_ms)}
    allowed = {task.protocol.passes * rounds for rounds in range(1, task.protocol.rounds + 1)}
    if not (len(counts) <= 1 and counts <= allowed):
        yield FieldError(
            "#/samples", f"every network must have equally many times, one of {sorted(allowed)}; got {counts}"
        )
    resolution_ms = max(body.clock.cpu_resolution_ns, body.clock.wall_resolution_ns) / 1e6
    for pointer, item in _entries(body):
        for field, problem in absurdities(
            item.cpu_ms, item.wall_ms, threads=body.device.threads, resolution_ms=resolution_ms
        ):
            yield FieldError(f"{pointer}/{field}" if field else pointer, problem)


def _duration(task: MeasurementTask, body: FinishBody) -> Iterator[FieldError]:
    """All runs together cannot have taken longer than the task has been leased."""
    total_s = sum(sum(item.wall_ms) for _, item in _entries(body)) / 1e3
    leased_s = 0.0 if task.leased_at is None else (datetime.now(UTC) - task.leased_at).total_seconds()
    if total_s > leased_s + SLACK_S:
        yield FieldError(
            "#/samples", f"absurd: {total_s:.1f} s of runs, but the task was leased {leased_s:.1f} s ago"
        )


def _entries(body: FinishBody) -> Iterator[tuple[str, TimesBody]]:
    for field in ("samples", "repeats", "references"):
        for number, item in enumerate(getattr(body, field)):
            yield f"#/{field}/{number}", item


def _short(numbers: Sequence[int]) -> str:
    text = ", ".join(map(str, numbers[:10]))
    return f"{text} …" if len(numbers) > 10 else text or "(none)"
