"""What agents may ask and say: codes, tokens, leases, and results that cannot be true."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from db.records import Job, JobKind
from db.remote.records import Candidate, NewTask
from predictors.agent.wire import CANDIDATES, Description, clock_json, numbered
from predictors.protocol import MeasurementProtocol
from predictors.rounds import repeated_archs
from service.agents.identity import agent_device
from service.agents.results import campaign_of
from service.agents.secret import digest_of
from service.app import create_app
from service.settings import load_settings
from service.stores import Stores
from tests.service.conftest import SPACE, seed_front, seed_records
from tests.service.test_bad_input import assert_problem

PI = Description("a small board, aarch64, 4 cores", "onnxruntime", "1.23.2")
PROTOCOL = MeasurementProtocol(passes=3, rounds=2, min_spearman=0.0)
N = 30
Json = dict[str, Any]


def sample(index: int, ms: float, count: int = 3) -> Json:
    return {"index": index, "cpu_ms": [ms] * count, "wall_ms": [1.02 * ms] * count}


def ms_of(index: int) -> float:
    return 0.05 * (1 + index)


def result(epoch: int = 1) -> Json:
    """A result that is as it should be."""
    archs = numbered(CANDIDATES, N)
    return {
        "epoch": epoch,
        "device": asdict(PI),
        "clock": clock_json(),
        "samples": [sample(i, ms_of(i)) for i in range(N)],
        "repeats": [sample(a.genes[0], 1.01 * ms_of(a.genes[0])) for a in repeated_archs(archs, PROTOCOL)],
        "references": [sample(i, 0.1) for i in range(5)],
        "failures": [],
    }


@dataclass
class Agent:
    """An enrolled agent and a running profile job with a task for it."""

    http: TestClient
    stores: Stores
    name: str
    token: str
    job: Job

    def post(self, path: str, body: Json, **headers: str) -> Any:
        headers = {"Authorization": f"Bearer {self.token}", **headers}
        return self.http.post(f"/api/v1/agent{path}", json=body, headers=headers)

    def add_task(self, number: int = 0, campaign: str = "") -> str:
        archs = [arch for arch, _ in zip(SPACE.archs(), range(N), strict=False)]
        candidates = tuple(Candidate(arch, digest_of(arch.key)) for arch in archs)
        references = tuple(digest_of(f"reference {i}") for i in range(5))
        device = agent_device(self.name, PI)
        task = NewTask(
            f"{self.job.id}{campaign}-{number}",
            self.job.id,
            self.name,
            device.fingerprint,
            PROTOCOL,
            candidates,
            references,
        )
        self.stores.measurements.add([task])
        return task.id

    def lease(self, claim: str = "a" * 32, **changes: Any) -> Any:
        return self.post(
            "/lease", {"claim_id": claim, "device": asdict(PI), "clock": clock_json(), **changes}
        )

    def finish(self, task_id: str, body: Json) -> Any:
        return self.post(f"/tasks/{task_id}:finish", body)


def enroll(http: TestClient, name: str, device: Description = PI, **headers: str) -> str:
    code = http.post("/api/v1/agents/codes", json={"name": name}, headers=headers).json()["code"]
    body = {"device": asdict(device), "clock": clock_json()}
    response = http.post("/api/v1/agent/enroll", json=body, headers={"Authorization": f"Bearer {code}"})
    assert response.status_code == 201, response.text
    return str(response.json()["token"])


@pytest.fixture
def agent(http: TestClient, stores: Stores) -> Agent:
    seed_records(stores)
    seed_front(stores)
    stores.jobs.submit(JobKind.PROFILE, {"supernet": "digits"})
    job = stores.jobs.claim("worker", ttl_s=600)
    assert job is not None
    return Agent(http, stores, "pi", enroll(http, "pi"), job)


@pytest.mark.parametrize("campaign", ["", "-front", "-120"])  # of a profile job, or within a search
def test_an_agent_leases_renews_and_finishes(agent: Agent, campaign: str) -> None:
    assert agent.lease().status_code == 204
    task_id = agent.add_task(campaign=campaign)
    task = agent.lease().json()
    assert (task["id"], task["epoch"]) == (task_id, 1)
    assert len(task["candidates"]) == N
    assert MeasurementProtocol(**task["protocol"]) == PROTOCOL
    assert agent.lease().json() == task
    renewed = agent.post(f"/tasks/{task_id}:heartbeat", {"epoch": 1, "done": 4, "total": 9})
    assert renewed.json() == {"ttl_s": task["ttl_s"]}
    for _ in range(2):  # the answer may have been lost
        answer = agent.finish(task_id, result())
        assert answer.json() == {"id": task_id, "state": "done", "reason": None}, answer.text
    assert agent.lease("b" * 32).status_code == 204


def broken(change: Callable[[Json], object]) -> Json:
    body = result()
    change(body)
    return body


def put(pointer: str, value: Any) -> Callable[[Json], None]:
    *path, last = [int(part) if part.isdecimal() else part for part in pointer.split("/")[1:]]

    def change(body: Any) -> None:
        for part in path:
            body = body[part]
        body[last] = value

    return change


BAD = [
    ("/samples/3/cpu_ms/0", 0.0, "#/samples/3/cpu_ms/0"),
    ("/samples/3/cpu_ms/0", -1.0, "#/samples/3/cpu_ms/0"),
    ("/samples/3/wall_ms/1", 1e9, "#/samples/3/wall_ms/1"),
    ("/samples/3/cpu_ms", [1e-6] * 3, "#/samples/3"),
    ("/samples/3/cpu_ms", [5000.0] * 3, "#/samples/3/cpu_ms"),
    ("/samples/3/wall_ms", [500_000.0] * 3, "#/samples"),
    ("/samples/3/cpu_ms", [1.0] * 2, "#/samples"),
    ("/samples/3/cpu_ms", [], "#/samples/3/cpu_ms"),
    ("/samples/3/index", 4, "#/samples"),
    ("/samples", [], "#/samples"),
    ("/repeats", [], "#/repeats"),
    ("/repeats/0/index", 10_000, "#/repeats"),
    ("/references", [], "#/references"),
    ("/references/4/index", 3, "#/references"),
    ("/references/0/wall_ms/0", 0, "#/references/0/wall_ms/0"),
    ("/failures", [{"index": 99, "reason": "x"}], "#/failures"),
    ("/failures", [{"index": 3, "reason": "x"}], "#/samples"),
    ("/clock/sent_at", 0.0, "#/clock/sent_at"),
    ("/clock/sent_at", 4e9, "#/clock/sent_at"),
    ("/clock/cpu_resolution_ns", -1.0, "#/clock/cpu_resolution_ns"),
    ("/epoch", 0, "#/epoch"),
    ("/device/threads", "1", "#/device/threads"),
    ("/extra", 1, "#/extra"),
]  # fmt: skip


@pytest.mark.parametrize(("pointer", "value", "named"), BAD, ids=[f"{p}={str(v)[:20]}" for p, v, _ in BAD])
def test_what_cannot_be_is_refused_and_named(agent: Agent, pointer: str, value: Any, named: str) -> None:
    task_id = agent.add_task()
    agent.lease()
    front = agent.http.get("/api/v1/fronts").json()
    assert_problem(agent.finish(task_id, broken(put(pointer, value))), 422, named)
    assert agent.http.get("/api/v1/fronts").json() == front
    assert agent.stores.measurements.get(task_id, "pi").result is None
    assert agent.finish(task_id, result()).json()["state"] == "done"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "null", '"1"'])
def test_times_that_are_no_numbers_are_refused(agent: Agent, number: str) -> None:
    import json

    task_id = agent.add_task()
    agent.lease()
    text = json.dumps(broken(put("/samples/7/cpu_ms/2", 777.25))).replace("777.25", number)
    headers = {"Authorization": f"Bearer {agent.token}", "Content-Type": "application/json"}
    answer = agent.http.post(f"/api/v1/agent/tasks/{task_id}:finish", content=text, headers=headers)
    assert_problem(answer, 422)


def test_a_result_for_a_lease_of_somebody_else_is_refused(agent: Agent) -> None:
    task_id = agent.add_task()
    assert_problem(agent.finish(task_id, result()), 409)  # nobody's
    agent.lease()
    assert_problem(agent.finish(task_id, result(epoch=2)), 409)
    other = replace(agent, name="other", token=enroll(agent.http, "other"))
    assert_problem(other.finish(task_id, result()), 404)
    assert_problem(other.post(f"/tasks/{task_id}:heartbeat", {"epoch": 1, "done": 0, "total": 0}), 404)
    assert agent.finish(task_id, result()).status_code == 200
    changed = result()
    changed["samples"][0]["cpu_ms"] = [0.049] * 3
    assert_problem(agent.finish(task_id, changed), 409)


def test_a_machine_that_changed_is_refused_by_field(agent: Agent) -> None:
    task_id = agent.add_task()
    changed = asdict(replace(PI, hardware="another board"))
    assert "device.hardware" in assert_problem(agent.lease(device=changed), 409)["detail"]
    agent.lease()
    newer = broken(put("/device/runtime_version", "1.24.0"))
    assert "device.runtime_version" in assert_problem(agent.finish(task_id, newer), 409)["detail"]
    assert agent.stores.measurements.get(task_id, "pi").result is None


def test_a_wrong_date_gets_no_task_and_no_token(agent: Agent) -> None:
    agent.add_task()
    wrong = {**clock_json(), "sent_at": time.time() - 3600}
    document = assert_problem(agent.lease(clock=wrong), 422, "#/clock/sent_at")
    assert "behind" in document["detail"]
    code = agent.http.post("/api/v1/agents/codes", json={"name": "late"}).json()["code"]
    body = {"device": asdict(PI), "clock": wrong}
    headers = {"Authorization": f"Bearer {code}"}
    assert_problem(agent.http.post("/api/v1/agent/enroll", json=body, headers=headers), 422)
    good = {**body, "clock": clock_json()}
    assert agent.http.post("/api/v1/agent/enroll", json=good, headers=headers).status_code == 201
    assert_problem(agent.http.post("/api/v1/agent/enroll", json=good, headers=headers), 401)


def disagreeing_repeats(body: Json) -> None:
    for item in body["repeats"]:
        item["cpu_ms"] = [2 * ms for ms in item["cpu_ms"]]
        item["wall_ms"] = [2 * ms for ms in item["wall_ms"]]


def slower(factor: float, count: int) -> Callable[[Json], None]:
    def change(body: Json) -> None:
        for item in body["references"][:count]:
            item["cpu_ms"] = [factor * ms for ms in item["cpu_ms"]]
            item["wall_ms"] = [factor * ms for ms in item["wall_ms"]]

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [(disagreeing_repeats, "repeats"), (slower(1.7, 5), "1.70 times"), (slower(0.3, 3), "references")],
)
def test_disagreement_is_kept_as_suspect_and_quarantines(agent: Agent, change: Any, reason: str) -> None:
    first, second, third = (agent.add_task(number) for number in range(3))
    agent.lease()
    agent.finish(first, result())
    agent.lease("b" * 32)
    answer = agent.finish(second, broken(change)).json()
    assert answer["state"] == "suspect"
    assert reason in answer["reason"]
    problem = assert_problem(agent.lease("c" * 32), 409)
    assert "quarantined" in problem["detail"]
    shown = agent.http.get("/api/v1/agents/pi").json()
    assert (shown["state"], reason in shown["reason"]) == ("quarantined", True)
    job = {"kind": "profile", "supernet": "digits", "device": "pi"}
    assert_problem(agent.http.post("/api/v1/jobs", json=job), 422, "#/device")
    assert agent.http.post("/api/v1/agents/pi:lift").json()["state"] == "active"
    assert agent.lease("c" * 32).json()["id"] == third


def test_a_campaign_on_another_scale_is_accepted_and_brought_back(agent: Agent) -> None:
    first, second = agent.add_task(0), agent.add_task(1)
    agent.lease()
    agent.finish(first, result())
    agent.lease("b" * 32)
    body = result()
    for field in ("samples", "repeats", "references"):
        for item in body[field]:
            for clock in ("cpu_ms", "wall_ms"):
                item[clock] = [1.25 * ms for ms in item[clock]]
    assert agent.finish(second, body).json()["state"] == "done"
    assert agent.stores.campaigns.find(second).scale == pytest.approx(0.8)


def test_failures_are_results_too(agent: Agent) -> None:
    task_id = agent.add_task()
    agent.lease()
    body = result()
    body["failures"] = [{"index": 3, "reason": "no kernel for it"}]
    body["samples"] = [item for item in body["samples"] if item["index"] != 3]
    body["repeats"] = [item for item in body["repeats"] if item["index"] != 3]
    assert agent.finish(task_id, body).json()["state"] == "done"


def test_a_task_that_is_given_back_is_leased_again_three_times(agent: Agent) -> None:
    task_id = agent.add_task()
    for epoch in (1, 2, 3):
        assert agent.lease(f"{epoch:032x}").json()["epoch"] == epoch
        answer = agent.post(f"/tasks/{task_id}:release", {"epoch": epoch, "reason": "no memory\0"})
        assert answer.json()["state"] == ("dead" if epoch == 3 else "ready")
    assert agent.lease("f" * 32).status_code == 204


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[TestClient]:
    app = create_app(load_settings(data_dir=tmp_path / "guarded", token="a-token-of-enough-characters"))
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        yield client


def test_tokens_open_only_what_they_are_for(guarded: TestClient) -> None:
    user = {"Authorization": "Bearer a-token-of-enough-characters"}
    assert_problem(guarded.post("/api/v1/agents/codes", json={"name": "pi"}), 401)
    token = enroll(guarded, "pi", **user)
    mine = {"Authorization": f"Bearer {token}"}
    for path in ("/jobs", "/agents", "/agents/pi", "/devices", "/fronts", f"/artifacts/{'0' * 64}"):
        assert_problem(guarded.get(f"/api/v1{path}", headers=mine), 401)
    assert_problem(guarded.post("/api/v1/agents/pi:lift", headers=mine), 401)
    body = {"claim_id": "a" * 32, "device": asdict(PI), "clock": clock_json()}
    assert guarded.post("/api/v1/agent/lease", json=body, headers=mine).status_code == 204
    assert_problem(guarded.post("/api/v1/agent/lease", json=body, headers=user), 403)
    assert guarded.post("/api/v1/agents/pi:revoke", headers=user).json()["state"] == "revoked"
    assert_problem(guarded.post("/api/v1/agent/lease", json=body, headers=mine), 401)


def test_an_agent_reads_the_files_of_its_task_only(guarded: TestClient) -> None:
    user = {"Authorization": "Bearer a-token-of-enough-characters"}
    mine = {"Authorization": f"Bearer {enroll(guarded, 'pi', **user)}"}
    stores: Stores = guarded.app.state.nas.stores  # type: ignore[attr-defined]
    stores.jobs.submit(JobKind.PROFILE, {})
    job = stores.jobs.claim("worker", ttl_s=600)
    assert job is not None
    agent = Agent(guarded, stores, "pi", mine["Authorization"].removeprefix("Bearer "), job)
    agent.add_task()
    digest = digest_of(next(iter(SPACE.archs())).key)
    assert_problem(guarded.get(f"/api/v1/artifacts/{digest}", headers=mine), 401)
    agent.lease()
    assert_problem(guarded.get(f"/api/v1/artifacts/{digest}", headers=mine), 404)  # allowed, but no such file
    assert_problem(guarded.get(f"/api/v1/artifacts/{'0' * 64}", headers=mine), 401)


def test_quantities_come_with_the_times_and_absurd_ones_are_refused(agent: Agent) -> None:
    task_id = agent.add_task()
    agent.lease()
    body = result()
    for field, value in (("run_peak_memory_bytes", 0), ("energy_mj", -1.0), ("file_size_bytes", 2**60)):
        body["samples"][3]["quantities"] = {field: value}
        problem = assert_problem(agent.finish(task_id, body), 422)
        assert f"#/samples/3/quantities/{field}" in [error["pointer"] for error in problem["errors"]]
    body["samples"][3]["quantities"] = {"run_peak_memory_bytes": 4096, "energy_mj": None}
    assert agent.finish(task_id, body).json()["state"] == "done"
    task = agent.stores.measurements.get(task_id, "pi")
    assert task.result is not None
    found = campaign_of(task, task.result, agent_device("pi", PI)).samples
    assert [s.quantities.run_peak_memory_bytes for s in found[2:5]] == [None, 4096, None]
