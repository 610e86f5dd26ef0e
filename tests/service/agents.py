"""Agent processes for tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from service.client import Client
from tests.service.conftest import HERE, eventually

MADE_UP, REAL = "fake_agent", "predictors.agent"


@dataclass
class AgentProcess:
    """One agent with its state in ``folder``; started and killed at will."""

    name: str
    url: str
    folder: Path
    module: str = MADE_UP
    prefix: Sequence[str] = ()
    python: str = sys.executable
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def state(self) -> Path:
        return self.folder / f"{self.name}.json"

    @property
    def log(self) -> str:
        file = self.folder / f"{self.name}.log"
        return file.read_text() if file.exists() else ""

    def start(self, code: str | None = None) -> None:
        path = os.pathsep.join([str(HERE), str(HERE.parent.parent)])
        command = [*self.prefix, self.python, "-m", self.module, "--state", str(self.state), "--poll", "0.1"]
        if code is not None:
            command += ["--server", self.url, "--code", code]
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                env={**os.environ, "PYTHONPATH": path, **self.environment},
                stdout=log,
                stderr=log,
                cwd=self.folder,  # with -m the working directory is importable
            )

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(20)


@contextmanager
def running(agent: AgentProcess, client: Client) -> Iterator[AgentProcess]:
    """The agent enrolled and running, killed at the end."""
    agent.start(client.agent_code(agent.name)["code"])
    try:
        eventually(lambda: agent.name in [item["name"] for item in client.agents()], "the agent enrolls")
        yield agent
    finally:
        assert agent.process is not None
        agent.process.kill()
        agent.process.wait()
