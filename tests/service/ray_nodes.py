"""Nodes of a Ray cluster on this machine, each a process with children of its own."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from tests.service.conftest import free_port

STARTED = "Ray runtime started"
START_S = 120.0
TRIES = 3
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


def cluster_environment() -> dict[str, str]:
    """What all processes of one cluster share: a token, without which nobody joins it."""
    return {**QUIET, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


class RayNode:
    """``ray start --block`` with one CPU and free ports; without ``address`` it is a head."""

    def __init__(self, folder: Path, environment: Mapping[str, str], address: str | None = None) -> None:
        port = free_port()
        self.environment = dict(environment)
        self.address = address or f"127.0.0.1:{port}"
        where = ["--address", self.address]
        if address is None:
            where = ["--head", "--port", str(port), "--include-dashboard", "false"]
            where += ["--temp-dir", str(folder)]
        sizes = ["--include-log-monitor", "false", "--num-cpus", "1"]
        sizes += ["--object-store-memory", str(2**27)]
        ports = ["--node-ip-address", "127.0.0.1"]
        ports += ["--min-worker-port", "0", "--max-worker-port", "0"]
        ports += ["--dashboard-agent-listen-port", str(free_port())]
        self.log = folder / f"{'head' if address is None else 'node'}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *where, *sizes, *ports],
                env={**os.environ, **environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def joined(self) -> bool:
        """Wait until the node has joined, or has given up."""
        deadline = time.monotonic() + START_S
        while STARTED not in (text := self.log.read_text()):
            if self.process.poll() is not None:
                return False
            assert time.monotonic() < deadline, text
            time.sleep(0.1)
        return True

    def kill(self) -> None:
        """Kill the node's processes, all of which this one has started, at once."""
        for pid in [self.process.pid, *_descendants(self.process.pid)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()


def start_node(folder: Path, environment: Mapping[str, str], address: str | None = None) -> RayNode:
    """A node that has joined. Ray gives itself 30 s, too little for a busy machine, so it has three tries."""
    for _ in range(TRIES):
        node = RayNode(folder, environment, address)
        if node.joined():
            return node
        node.kill()
    raise AssertionError(f"no Ray node could be started: {node.log.read_text()}")


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(text) for text in tasks.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
        for child in children:
            found += [child, *_descendants(child)]
    return found
