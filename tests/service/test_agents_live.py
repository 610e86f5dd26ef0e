"""Agents as processes of their own over real HTTP: a real server, worker and runner, made-up times."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from db.remote.records import MeasurementTask
from service.client import Client
from service.errors import ProblemError
from service.stores import open_database, open_stores
from tests.service.agent_package import make_environment
from tests.service.agents import REAL, AgentProcess, running
from tests.service.conftest import Live, eventually, seed_records, start_server, stop_server

N = 20
TOKEN = "a-token-of-enough-characters"


def profile(client: Client, agent: str) -> str:
    return str(client.submit("profile", supernet="digits", device=agent, samples=N)["id"])


def succeeded(client: Client, job_id: str) -> None:
    job = client.wait(job_id, timeout_s=120)
    assert job["state"] == "succeeded", job["error"]
    assert job["result"]["n_samples"] == N


def tasks_of(live: Live, job_id: str) -> list[MeasurementTask]:
    database = open_database(live.settings())
    try:
        return open_stores(database, live.settings()).measurements.of_job(job_id)
    finally:
        database.close()


def references_of(live: Live, task_id: str) -> tuple[float, ...]:
    """The references' times, in ms, in the campaign that a task was."""
    database = open_database(live.settings())
    try:
        record = open_stores(database, live.settings()).campaigns.find(task_id)
    finally:
        database.close()
    assert record is not None
    return record.references_ms


def seed(live: Live) -> None:
    database = open_database(live.settings())
    seed_records(open_stores(database, live.settings()))
    database.close()


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server whose measurement leases are short."""
    server = start_server(tmp_path_factory.mktemp("agents"), NAS_AGENT_LEASE_S="2")
    seed(server)
    yield server
    stop_server(server)


@pytest.fixture
def measuring(quick: Live) -> Iterator[Client]:
    with quick.client as client:
        yield client


def test_two_agents_at_once(quick: Live, measuring: Client, tmp_path: Path) -> None:
    worker = subprocess.Popen(
        [sys.executable, "-m", "service.cli", "worker"],
        env={**quick.environment, "NAS_MACHINE_LOCK": str(tmp_path / "machine.lock")},
    )
    slow = {"FAKE_SECONDS": "2"}
    agents = [AgentProcess(name, quick.url, tmp_path, environment=slow) for name in ("one", "two")]
    try:
        with running(agents[0], measuring), running(agents[1], measuring):
            jobs = [profile(measuring, agent.name) for agent in agents]
            for job_id in jobs:
                succeeded(measuring, job_id)
    finally:
        worker.terminate()
        worker.wait(30)
    assert {agent["name"] for agent in measuring.agents()} >= {"one", "two"}
    samples = [tasks_of(quick, job_id)[0] for job_id in jobs]
    assert [task.agent for task in samples] == ["one", "two"]
    assert samples[0].fingerprint != samples[1].fingerprint
    assert stat.S_IMODE(agents[0].state.stat().st_mode) == 0o600


def test_an_agent_that_is_killed_loses_its_lease_and_takes_the_task_again(
    quick: Live, measuring: Client, tmp_path: Path
) -> None:
    agent = AgentProcess("mortal", quick.url, tmp_path, environment={"FAKE_SECONDS": "60"})
    with running(agent, measuring):
        job_id = profile(measuring, "mortal")
        eventually(lambda: [task.epoch for task in tasks_of(quick, job_id)] == [1], "the task is leased", 60)
        agent.stop(signal.SIGKILL)
        agent.environment = {}
        agent.start()
        succeeded(measuring, job_id)
    (task,) = tasks_of(quick, job_id)
    assert task.epoch >= 2


def test_an_agent_that_is_stopped_gives_its_task_back(quick: Live, measuring: Client, tmp_path: Path) -> None:
    agent = AgentProcess("polite", quick.url, tmp_path, environment={"FAKE_SECONDS": "60"})
    with running(agent, measuring):
        job_id = profile(measuring, "polite")
        eventually(lambda: [task.epoch for task in tasks_of(quick, job_id)] == [1], "the task is leased", 60)
        assert agent.stop() == 0
        (task,) = tasks_of(quick, job_id)
        assert (task.state, task.error) == ("ready", "the agent was stopped")
        agent.environment = {}
        agent.start()
        succeeded(measuring, job_id)


def test_an_agent_whose_task_nobody_wants_any_more_goes_on_with_the_next(
    quick: Live, measuring: Client, tmp_path: Path
) -> None:
    agent = AgentProcess("patient", quick.url, tmp_path, environment={"FAKE_SECONDS": "4"})
    with running(agent, measuring):
        first = profile(measuring, "patient")
        eventually(lambda: [task.epoch for task in tasks_of(quick, first)] == [1], "the task is leased", 60)
        measuring.cancel(first)
        assert measuring.wait(first, timeout_s=60)["state"] == "cancelled"
        succeeded(measuring, profile(measuring, "patient"))
        assert "wanted no more" in agent.log


def test_a_disagreeing_agent_fails_its_job_and_is_quarantined(
    quick: Live, measuring: Client, tmp_path: Path
) -> None:
    agent = AgentProcess("moody", quick.url, tmp_path)
    with running(agent, measuring):
        succeeded(measuring, profile(measuring, "moody"))
        agent.stop()
        agent.environment = {"FAKE_SLOWER": "3"}
        agent.start()
        job = measuring.wait(profile(measuring, "moody"), timeout_s=120)
        assert job["state"] == "failed"
        assert "3.00 times as slow" in job["error"]
        assert "nas agents lift moody" in job["error"]
        with pytest.raises(ProblemError, match="quarantined"):
            profile(measuring, "moody")
    assert list(measuring.predictors(device="moody")) == []


def test_agent_and_job_survive_a_restart_of_the_server(tmp_path: Path) -> None:
    server = start_server(tmp_path, NAS_AGENT_LEASE_S="60")
    try:
        seed(server)
        agent = AgentProcess("loyal", server.url, tmp_path, environment={"FAKE_SECONDS": "3"})
        with server.client as client, running(agent, client):
            job_id = profile(client, "loyal")
            eventually(lambda: [task.epoch for task in tasks_of(server, job_id)] == [1], "leased", 60)
            stop_server(server)
            eventually(lambda: "trying again" in agent.log, "the agent misses its server", 60)
            port = server.url.rpartition(":")[2]
            server = start_server(tmp_path, "--port", port, NAS_AGENT_LEASE_S="60")
            succeeded(client, job_id)
            (task,) = tasks_of(server, job_id)
            assert task.epoch == 1  # measured once: the result was posted late
    finally:
        stop_server(server)


@pytest.fixture(scope="module")
def lonely(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that holds the agent's own distribution only."""
    return make_environment(tmp_path_factory.mktemp("agent"))


@contextlib.contextmanager
def other_machine() -> Iterator[tuple[list[str], str]]:
    """A network namespace that reaches this one over a link: command prefix, and our address on the link."""
    name, mine, theirs = f"nas{os.getpid()}", f"na{os.getpid() % 10**6}", f"nb{os.getpid() % 10**6}"
    link = f"10.{200 + os.getpid() % 50}.{os.getpid() // 50 % 250}"

    def ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True, capture_output=True)

    try:
        ip("netns", "add", name)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("network namespaces are not permitted here")
    try:
        ip("link", "add", mine, "type", "veth", "peer", "name", theirs, "netns", name)
        ip("addr", "add", f"{link}.1/24", "dev", mine)
        ip("link", "set", mine, "up")
        ip("-n", name, "addr", "add", f"{link}.2/24", "dev", theirs)
        ip("-n", name, "link", "set", theirs, "up")
        yield ["ip", "netns", "exec", name], f"{link}.1"
    finally:
        subprocess.run(["ip", "link", "del", mine], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def test_the_agents_own_package_needs_neither_torch_nor_a_database(lonely: Path, tmp_path: Path) -> None:
    code = """
import importlib.util, sys
import predictors.agent.__main__
absent = ("torch", "ray", "sqlalchemy", "fastapi", "scipy", "onnx", "httpx2", "service", "db", "nas")
assert not [name for name in absent if importlib.util.find_spec(name)]
ours = {name for name in sys.modules if name.partition(".")[0] in ("predictors", "searchspaces")}
assert "predictors.rounds" in ours
"""
    command = [str(lonely), "-c", code]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PATH": ""}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_second_machine_measures_for_real_behind_a_token(lonely: Path, tmp_path: Path) -> None:
    with other_machine() as (prefix, address):
        server = start_server(
            tmp_path, "--host", address, NAS_TOKEN=TOKEN, NAS_ALLOWED_HOSTS='["127.0.0.1"]', reach=address
        )
        try:
            seed(server)
            agent = AgentProcess(
                "second",
                server.url,
                tmp_path,
                module=REAL,
                prefix=prefix,
                python=str(lonely),
                environment={"PYTHONPATH": ""},
            )
            with Client(server.url, token=TOKEN) as client, running(agent, client):
                assert client.device("second")["hardware"].endswith("agent second")
                job_id = profile(client, "second")
                succeeded(client, job_id)
                (task,) = tasks_of(server, job_id)
            assert task.result is not None
            assert all(0.001 < ms < 1000 for ms in references_of(server, task.id))
            assert "unencrypted" in agent.log
        finally:
            stop_server(server)
        assert TOKEN not in agent.log
