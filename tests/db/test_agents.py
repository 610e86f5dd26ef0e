"""Agents, their one-time codes and their measurement tasks, on every database."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from db.campaigns import CampaignStore
from db.devices import DeviceStore
from db.errors import (
    AgentCodeError,
    AgentNameTakenError,
    AgentNotFoundError,
    AgentQuarantinedError,
    InvalidRecordError,
    LeaseLostError,
    TaskNotFoundError,
)
from db.jobs import JobStore
from db.records import JobKind
from db.remote.agents import AgentStore
from db.remote.measurements import MeasurementStore
from db.remote.records import AgentState, Candidate, MeasurementTask, NewTask, TaskState
from db.session import Database
from predictors.agent.wire import Description
from predictors.campaign import Campaign
from predictors.protocol import MeasurementProtocol
from predictors.sample import LatencySample
from tests.contracts.toy import toy_space

PI = Description("a small board, aarch64, 4 cores", "onnxruntime", "1.23.2")
DEVICE = PI.device("pi")
NETS = list(toy_space().archs())[:12]
ARCHS = NETS[:3]
RESULT = {"samples": [{"index": 0, "cpu_ms": [1.0], "wall_ms": [1.0]}]}
CLAIM, OTHER_CLAIM = "a" * 32, "b" * 32


def hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def campaign(*references_ms: float, repeat_factor: float = 1.0) -> Campaign:
    """Twelve networks of 1 to 12 ms, four of them measured twice, beside references of these times."""

    def samples(times: Sequence[float]) -> tuple[LatencySample, ...]:
        return tuple(LatencySample(a, DEVICE, (ms,), (ms,)) for a, ms in zip(NETS, times, strict=False))

    times = [1.0 + i for i in range(len(NETS))]
    return Campaign(
        samples(times), samples([repeat_factor * ms for ms in times[:4]]), {}, samples(references_ms)
    )


def good(slower: float = 1.0) -> Any:
    return lambda task: campaign(slower * 1.0, slower * 2.0)


class Stage:
    """A database with an enrolled agent "pi" and a running job."""

    def __init__(self, database: Database) -> None:
        self.agents = AgentStore(database)
        self.tasks = MeasurementStore(database)
        self.jobs = JobStore(database)
        self.devices = DeviceStore(database)
        self.campaigns = CampaignStore(database)
        self.enroll("pi")
        self.jobs.submit(JobKind.PROFILE, {})
        job = self.jobs.claim("worker", ttl_s=60)
        assert job is not None
        self.job = job

    def enroll(self, name: str, description: Description = PI, token: str = "token") -> None:
        code = f"code {name} {time.monotonic_ns()}"
        self.agents.add_code(name, hashed(code), ttl_s=60)
        self.agents.enroll(
            hashed(code), description, description.device(name), token_sha256=hashed(f"{name} {token}")
        )

    def add(self, number: int = 0, agent: str = "pi") -> str:
        candidates = tuple(Candidate(arch, hashed(arch.key)) for arch in ARCHS)
        fingerprint = PI.device(agent).fingerprint
        task = NewTask(
            f"{self.job.id}-{number}",
            self.job.id,
            agent,
            fingerprint,
            MeasurementProtocol(),
            candidates,
            (hashed("reference"),),
        )
        self.tasks.add([task])
        return task.id

    def lease(self, claim: str = CLAIM, *, agent: str = "pi", ttl_s: float = 60) -> MeasurementTask | None:
        return self.tasks.lease(agent, claim, fingerprint=PI.device(agent).fingerprint, ttl_s=ttl_s)


@pytest.fixture
def stage(database: Database) -> Stage:
    return Stage(database)


def test_an_enrolled_agent_is_a_device_and_is_known_by_its_token(stage: Stage) -> None:
    found = stage.agents.authenticate(hashed("pi token"))
    assert found is not None
    assert (found.name, found.description, found.device) == ("pi", PI, DEVICE)
    assert found.state is AgentState.ACTIVE
    assert stage.devices.get_device("pi").device == DEVICE
    assert stage.agents.authenticate(hashed("pi other")) is None
    assert [agent.name for agent in stage.agents.list().items] == ["pi"]
    with pytest.raises(AgentNotFoundError, match="nobody"):
        stage.agents.get("nobody")


def test_a_code_works_once_and_not_after_its_time(stage: Stage) -> None:
    stage.agents.add_code("two", hashed("once"), ttl_s=60)
    stage.agents.enroll(hashed("once"), PI, PI.device("two"), token_sha256=hashed("t1"))
    stage.agents.add_code("three", hashed("soon"), ttl_s=0.005)
    time.sleep(0.02)
    for code in ("once", "soon", "never"):
        with pytest.raises(AgentCodeError):
            stage.agents.enroll(hashed(code), PI, PI.device("three"), token_sha256=hashed("t2"))
        with pytest.raises(AgentCodeError):
            stage.agents.find_code(hashed(code))
    assert stage.agents.find("three") is None


def test_two_machines_with_one_code_make_one_agent(stage: Stage) -> None:
    stage.agents.add_code("raced", hashed("code"), ttl_s=60)

    def enroll(token: str) -> bool:
        try:
            stage.agents.enroll(hashed("code"), PI, PI.device("raced"), token_sha256=hashed(token))
        except AgentCodeError:
            return False
        return True

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(enroll, ["a", "b", "c", "d"])) == 1


def test_an_agent_cannot_take_the_name_of_another_device(stage: Stage) -> None:
    stage.devices.put_device(PI.device("laptop"))
    with pytest.raises(AgentNameTakenError, match="laptop"):
        stage.agents.add_code("laptop", hashed("x"), ttl_s=60)
    with pytest.raises(InvalidRecordError, match="agent"):
        stage.agents.add_code("../x", hashed("x"), ttl_s=60)


def test_enrolling_again_ends_token_and_lease_but_no_quarantine(stage: Stage) -> None:
    task_id = stage.add()
    held = stage.lease()
    assert held is not None
    stage.agents.quarantine("pi", "noisy")
    stage.enroll("pi", replace(PI, runtime_version="2.0"), token="new")
    assert stage.agents.authenticate(hashed("pi token")) is None
    agent = stage.agents.authenticate(hashed("pi new"))
    assert agent is not None
    assert (agent.state, agent.reason) == (AgentState.QUARANTINED, "noisy")
    assert agent.device.runtime_version == "2.0"
    with pytest.raises(LeaseLostError):
        stage.tasks.finish(task_id, "pi", held.epoch, RESULT, good())


def test_a_revoked_agent_has_no_token_until_it_is_enrolled_again(stage: Stage) -> None:
    assert stage.agents.revoke("pi").state is AgentState.REVOKED
    assert stage.agents.authenticate(hashed("pi token")) is None
    stage.enroll("pi", token="new")
    assert stage.agents.get("pi").state is AgentState.ACTIVE


def test_a_lease_is_one_at_a_time_and_repeats_for_the_same_claim(stage: Stage) -> None:
    first, second = stage.add(0), stage.add(1)
    held = stage.lease()
    assert held is not None
    assert (held.id, held.epoch, held.attempts, held.state) == (first, 1, 1, TaskState.LEASED)
    assert stage.lease() == held
    assert stage.lease(OTHER_CLAIM) is None
    stage.tasks.finish(first, "pi", 1, RESULT, good())
    following = stage.lease(OTHER_CLAIM)
    assert following is not None
    assert following.id == second
    assert stage.tasks.is_leased_file("pi", hashed(ARCHS[0].key))
    assert not stage.tasks.is_leased_file("pi", hashed("something else"))


def test_claims_of_many_threads_take_a_task_once(stage: Stage) -> None:
    stage.add()
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda i: stage.lease(f"{i:032x}"), range(8)))
    assert sum(task is not None for task in found) == 1


def test_agents_get_their_own_tasks_only(stage: Stage) -> None:
    stage.enroll("board")
    mine, theirs = stage.add(0), stage.add(1, agent="board")
    one, two = stage.lease(), stage.lease(OTHER_CLAIM, agent="board")
    assert one is not None
    assert two is not None
    assert (one.id, two.id) == (mine, theirs)
    for call in (
        lambda: stage.tasks.heartbeat(theirs, "pi", 1, ttl_s=9, progress={}),
        lambda: stage.tasks.release(theirs, "pi", 1, "x"),
        lambda: stage.tasks.finish(theirs, "pi", 1, RESULT, good()),
        lambda: stage.tasks.get(theirs, "pi"),
    ):
        with pytest.raises(TaskNotFoundError, match=theirs):
            call()


def test_an_expired_lease_goes_to_the_next_claim_and_the_old_holder_is_refused(stage: Stage) -> None:
    task_id = stage.add()
    assert stage.lease(ttl_s=0.005) is not None
    time.sleep(0.02)
    again = stage.lease(OTHER_CLAIM)
    assert again is not None
    assert (again.id, again.epoch) == (task_id, 2)
    with pytest.raises(LeaseLostError, match="epoch 1"):
        stage.tasks.finish(task_id, "pi", 1, RESULT, good())
    with pytest.raises(LeaseLostError):
        stage.tasks.heartbeat(task_id, "pi", 1, ttl_s=9, progress={})
    assert stage.tasks.finish(task_id, "pi", 2, RESULT, good()).state is TaskState.DONE


def test_a_late_heartbeat_renews_a_lease_that_nobody_took(stage: Stage) -> None:
    task_id = stage.add()
    stage.lease(ttl_s=0.005)
    time.sleep(0.02)
    stage.tasks.heartbeat(task_id, "pi", 1, ttl_s=60, progress={"done": 3, "total": 9})
    assert stage.tasks.reap() == 0
    stage.tasks.heartbeat(task_id, "pi", 1, ttl_s=0.005, progress={})
    time.sleep(0.02)
    assert stage.tasks.reap() == 1
    stage.tasks.heartbeat(task_id, "pi", 1, ttl_s=60, progress={"done": 3, "total": 9})
    assert stage.tasks.get(task_id, "pi").state is TaskState.LEASED
    assert stage.tasks.get(task_id, "pi").progress == {"done": 3, "total": 9}


def test_a_late_result_of_a_lease_that_nobody_took_is_taken(stage: Stage) -> None:
    first, second = stage.add(0), stage.add(1)
    stage.lease(ttl_s=0.005)
    time.sleep(0.02)
    assert stage.tasks.reap() == 1
    assert stage.tasks.finish(first, "pi", 1, RESULT, good()).state is TaskState.DONE
    stage.lease(ttl_s=0.005)
    time.sleep(0.02)
    stage.tasks.reap()
    third = stage.add(-1)  # before the second
    held = stage.lease(OTHER_CLAIM)
    assert held is not None
    assert held.id == third
    with pytest.raises(LeaseLostError, match="another task"):
        stage.tasks.heartbeat(second, "pi", 1, ttl_s=60, progress={})


def test_a_task_is_dead_after_its_third_attempt(stage: Stage) -> None:
    task_id = stage.add()
    for epoch in (1, 2, 3):
        assert stage.lease() is not None
        stage.tasks.release(task_id, "pi", epoch, f"attempt {epoch}")
    assert stage.lease() is None
    task = stage.tasks.get(task_id, "pi")
    assert (task.state, task.error) == (TaskState.DEAD, "attempt 3")


def test_tasks_of_a_job_that_is_not_wanted_are_not_leased_and_not_finished(stage: Stage) -> None:
    held, waiting = stage.add(0), stage.add(1)
    stage.lease()
    stage.jobs.cancel(stage.job.id)
    with pytest.raises(LeaseLostError, match="wanted no more"):
        stage.tasks.heartbeat(held, "pi", 1, ttl_s=9, progress={})
    with pytest.raises(LeaseLostError, match="wanted no more"):
        stage.tasks.finish(held, "pi", 1, RESULT, good())
    stage.agents.revoke("pi")  # which ends the lease
    assert stage.lease(OTHER_CLAIM) is None
    assert stage.tasks.get(waiting, "pi").state is TaskState.READY


def test_a_task_for_what_the_agent_was_before_is_not_leased(stage: Stage) -> None:
    stage.add()
    assert stage.tasks.lease("pi", CLAIM, fingerprint="0" * 16, ttl_s=9) is None


def test_the_same_result_twice_is_one_result_and_another_is_refused(stage: Stage) -> None:
    task_id = stage.add()
    stage.lease()
    done = stage.tasks.finish(task_id, "pi", 1, RESULT, good())
    assert stage.tasks.finish(task_id, "pi", 1, RESULT, good()) == done
    with pytest.raises(LeaseLostError):
        stage.tasks.finish(task_id, "pi", 1, {"samples": []}, good())
    assert stage.tasks.get(task_id, "pi") == done
    stage.add()  # the same id again
    assert stage.tasks.get(task_id, "pi") == done


def test_the_first_good_campaign_is_the_baseline_of_the_next(stage: Stage) -> None:
    scales = []
    for number, found in enumerate(
        (
            campaign(9.0, 9.0, repeat_factor=2.0),
            campaign(1.0, 2.0),
            campaign(1.25, 2.5),
            campaign(0.8, 1.6),
            campaign(7.0),
            campaign(),
        )
    ):
        task_id = stage.add(number)
        stage.agents.lift("pi")
        stage.lease()
        stage.tasks.finish(task_id, "pi", 1, RESULT, lambda task, found=found: found)
        record = stage.campaigns.find(task_id)
        assert record is not None
        scales.append(record.scale if record.is_good else None)
    assert scales == [None, 1.0, pytest.approx(0.8), pytest.approx(1.25), 1.0, 1.0]
    assert len(stage.campaigns.of_fingerprint(DEVICE.fingerprint)) == 6


def test_a_suspect_result_quarantines_until_lifted_and_enters_no_fit(stage: Stage) -> None:
    task_id = stage.add()
    stage.lease()
    task = stage.tasks.finish(task_id, "pi", 1, RESULT, lambda _: campaign(1.0, repeat_factor=2.0))
    assert task.state is TaskState.SUSPECT
    assert "repeats: networks measured twice differ" in str(task.error)
    stage.devices.add_samples("s", [LatencySample(ARCHS[0], DEVICE, (1.0,), (1.0,))], campaign=task_id)
    assert stage.devices.list_samples("s", DEVICE.fingerprint) == []
    assert stage.devices.measured_in(ARCHS[0].space) == []
    (kept,) = stage.devices.measured("s", ARCHS[0].key)
    assert (kept.is_good, kept.campaign, kept.sample.cpu_ms) == (False, task_id, (1.0,))
    assert "repeats: net" in str(stage.agents.get("pi").reason)
    stage.add(1)
    with pytest.raises(AgentQuarantinedError, match="repeats: net"):
        stage.lease(OTHER_CLAIM)
    assert stage.agents.lift("pi").state is AgentState.ACTIVE
    assert stage.lease(OTHER_CLAIM) is not None


def test_samples_of_a_campaign_come_on_the_scale_of_the_first(stage: Stage) -> None:
    for number, slower in enumerate((1.0, 1.25)):
        task_id = stage.add(number)
        stage.lease(f"{number:032x}")
        stage.tasks.finish(task_id, "pi", 1, RESULT, good(slower))
        sample = LatencySample(ARCHS[number], DEVICE, (2.0, 4.0), (3.0, 5.0))
        stage.devices.add_samples("s", [sample], campaign=task_id)
    found = stage.devices.list_samples("s", DEVICE.fingerprint)
    assert [sample.cpu_ms for sample in found] == [(2.0, 4.0), pytest.approx((1.6, 3.2))]
    assert [sample.wall_ms for sample in found] == [(3.0, 5.0), pytest.approx((2.4, 4.0))]
    assert stage.devices.list_samples("s", "0" * 16) == []


def test_a_task_comes_back_as_it_was_queued(stage: Stage) -> None:
    task_id = stage.add()
    task = stage.tasks.of_job(stage.job.id)[0]
    assert task.id == task_id
    assert [candidate.arch for candidate in task.candidates] == ARCHS
    assert (task.protocol, task.state, task.epoch) == (MeasurementProtocol(), TaskState.READY, 0)
    bad = NewTask(task_id, stage.job.id, "pi", "f", MeasurementProtocol(), (), ("no digest",))
    with pytest.raises(InvalidRecordError, match="sha256"):
        stage.tasks.add([bad])
