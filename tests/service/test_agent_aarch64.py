"""The agent on another instruction set: under qemu, over real HTTP, with real times of emulated networks.

Set ``NAS_AARCH64`` to a folder that ``deploy/aarch64/emulate.sh`` has made.
"""

from __future__ import annotations

import os
import signal
import zipfile
from pathlib import Path

import pytest

from service.stores import open_database, open_stores
from tests.service.agent_package import build_wheel
from tests.service.agents import REAL, AgentProcess
from tests.service.conftest import Live, eventually, seed_records, start_server, stop_server

NAME, N = "emulated", 20
PATIENCE_S = 600  # an emulator beside other work


@pytest.fixture(scope="module")
def machine() -> Path:
    """The folder of the emulated machine."""
    folder = os.environ.get("NAS_AARCH64")
    if not folder:
        pytest.skip("NAS_AARCH64 names no folder made by deploy/aarch64/emulate.sh")
    return Path(folder)


def emulated(machine: Path, folder: Path, url: str) -> AgentProcess:
    """The agent of these sources there; its libraries are those that the machine was made with."""
    with zipfile.ZipFile(build_wheel(folder / "dist")) as wheel:
        wheel.extractall(folder / "agent")
    return AgentProcess(
        NAME,
        url,
        folder,
        module=REAL,
        prefix=[str(machine / "qemu/usr/bin/qemu-aarch64"), "-L", str(machine / "sysroot")],
        python=str(machine / "sysroot/usr/bin/python3.11"),
        environment={"PYTHONPATH": os.pathsep.join([str(folder / "agent"), str(machine / "site")])},
    )


def references_of(live: Live, job_id: str) -> tuple[float, ...]:
    """The references' times, in ms, in the one campaign of a job."""
    database = open_database(live.settings())
    try:
        stores = open_stores(database, live.settings())
        (task,) = stores.measurements.of_job(job_id)
        record = stores.campaigns.find(task.id)
    finally:
        database.close()
    assert record is not None
    return record.references_ms


@pytest.mark.slow
def test_an_emulated_board_enrolls_and_measures(machine: Path, tmp_path: Path) -> None:
    live = start_server(tmp_path / "server", NAS_AGENT_LEASE_S="120")
    agent = emulated(machine, tmp_path, live.url)
    try:
        database = open_database(live.settings())
        seed_records(open_stores(database, live.settings()))
        database.close()
        with live.client as client:
            agent.start(client.agent_code(NAME)["code"])
            eventually(lambda: list(client.agents()), "the agent enrolls", PATIENCE_S)
            (found,) = client.agents()
            assert ", aarch64, " in found["hardware"]
            job_id = str(client.submit("profile", supernet="digits", device=NAME, samples=N)["id"])
            job = client.wait(job_id, timeout_s=PATIENCE_S)
            assert job["state"] == "succeeded", job["error"]
            assert job["result"]["n_samples"] == N
        references = references_of(live, job_id)
        assert references
        assert all(0.001 < ms < 10_000 for ms in references)
        agent.stop()
    finally:
        if agent.process is not None and agent.process.poll() is None:
            agent.process.send_signal(signal.SIGKILL)
            agent.process.wait()
        stop_server(live)
