from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from db.ids import new_id
from db.records import PredictorRecord, SupernetRecord
from nas.types import Direction, Evaluation, Objective, Study
from predictors.device import Device, local_name
from predictors.sample import LatencySample
from searchspaces.registry import get_space
from service.app import create_app
from service.client import Client
from service.settings import Settings, load_settings
from service.stores import Stores, open_database, open_stores

HERE = Path(__file__).parent
DEVICE = Device(local_name("onnxruntime"), "a toy, x86_64, 2 cores", "onnxruntime", "1.0")
SPACE = get_space("hybrid-tiny")
OBJECTIVES = (Objective("top1", Direction.MAXIMIZE, 0.0), Objective("latency_ms", Direction.MINIMIZE, 10.0))
FAST = {"NAS_HEARTBEAT_S": "0.2", "NAS_LEASE_TTL_S": "1.5", "NAS_POLL_S": "0.05", "NAS_CANCEL_GRACE_S": "1.0"}


def seed_records(stores: Stores, folder: str = "nowhere") -> None:
    """A supernet "digits" in this folder, this machine as a device, its samples and a predictor."""
    now = datetime.now(UTC)
    stores.supernets.put(
        SupernetRecord(
            "digits", SPACE.id, "digits", 10, 1, 8, folder, "0" * 64, {"top1_largest": 0.9}, None, now
        )
    )
    stores.devices.put_device(DEVICE)
    stores.devices.add_samples(
        "digits", [LatencySample(SPACE.extreme(largest=False), DEVICE, (1.0, 1.1), (1.2, 1.3))], campaign="c"
    )
    stores.devices.put_predictor(
        PredictorRecord(
            new_id(),
            DEVICE.name,
            DEVICE.fingerprint,
            "digits",
            SPACE.id,
            "latency_ms",
            "nowhere",
            "0" * 64,
            {"spearman": 0.99},
            100,
            now,
        )
    )


def seed_front(stores: Stores, study_id: str = "s", points: int = 4) -> list[str]:
    """A study whose front has this many points, ever slower and better; returns their subnet ids."""
    stores.studies.create_study(
        Study(study_id, SPACE.id, OBJECTIVES, "random", points, 0, supernet="digits", device=DEVICE.name)
    )
    import numpy as np

    rng = np.random.default_rng(7)
    archs = [SPACE.sample(rng) for _ in range(points)]
    for trial, arch in zip(stores.studies.start_trials(study_id, archs), archs, strict=True):
        latency = 1.0 + trial.number
        values = {
            "top1": 0.5 + 0.1 * trial.number,
            "latency_ms": latency,
            "latency_low_ms": 0.9 * latency,
            "latency_high_ms": 1.1 * latency,
        }
        stores.studies.finish_trial(study_id, trial.number, Evaluation(arch, values))
    return [f"digits:{arch.key}" for arch in archs]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(data_dir=tmp_path / "data")


@pytest.fixture
def stores(settings: Settings) -> Iterator[Stores]:
    database = open_database(settings)
    yield open_stores(database, settings)
    database.close()


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    return create_app(settings)


@pytest.fixture
def http(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        yield client


@dataclass
class Live:
    """A real server in a process of its own, with fast leases and the fake runner."""

    folder: Path
    url: str
    process: subprocess.Popen[bytes]
    environment: dict[str, str]

    @property
    def client(self) -> Client:
        return Client(self.url)

    def settings(self) -> Settings:
        return load_settings(data_dir=self.folder)


def fake_environment(folder: Path, **extra: str) -> dict[str, str]:
    path = os.pathsep.join([str(HERE), str(HERE.parent.parent), os.environ.get("PYTHONPATH", "")])
    return {
        **os.environ,
        **FAST,
        "PYTHONPATH": path,
        "NAS_DATA_DIR": str(folder),
        "NAS_MACHINE_LOCK": str(folder / "machine.lock"),
        "NAS_RUNNER": "fake_runner",
        **extra,
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_server(folder: Path, *arguments: str, reach: str = "127.0.0.1", **extra: str) -> Live:
    environment = fake_environment(folder, **extra)
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "service.cli", "serve", "--port", str(port), *arguments],
            env=environment,
            stdout=log,
            stderr=log,
        )
    if "--port" in arguments:
        port = int(arguments[arguments.index("--port") + 1])
    live = Live(folder, f"http://{reach}:{port}", process, environment)
    with live.client as client:
        eventually(client.is_ready, "the server is ready", 60)
    return live


def stop_server(live: Live) -> None:
    live.process.send_signal(signal.SIGTERM)
    try:
        live.process.wait(20)
    except subprocess.TimeoutExpired:
        live.process.kill()
        live.process.wait()


def eventually(condition: Callable[[], object], what: str, timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not in {timeout_s:g} s: {what}"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("live")
    server = start_server(folder)
    database = open_database(server.settings())
    seed_records(open_stores(database, server.settings()), str(folder / "digits"))
    database.close()
    yield server
    stop_server(server)


@pytest.fixture
def client(live: Live) -> Iterator[Client]:
    with live.client as client:
        yield client
