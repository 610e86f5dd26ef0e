"""LocalServer: a server and its worker as child processes, for demos, notebooks and tests."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from service.client import Client
from service.errors import ServerStartError

START_S = 60.0
STOP_S = 30.0


class LocalServer:
    """``nas serve`` on a free port of loopback, its data in ``folder``, its output in ``server.log``.

    A context manager; ``client`` talks to it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "server.log"
        self.url = f"http://127.0.0.1:{_free_port()}"
        self.client = Client(self.url)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start and wait until the server is ready; raises ServerStartError with the log's end."""
        self.folder.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "NAS_DATA_DIR": str(self.folder)}
        command = [sys.executable, "-m", "service.cli", "serve", "--port", self.url.rpartition(":")[2]]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_S
        while not self.client.is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise ServerStartError(f"the server did not start; {self.log} ends: {self._log_end()}")
            time.sleep(0.1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server and its worker."""
        self.stop()

    def stop(self) -> None:
        """Stop the server, killing it if it does not go; jobs resume when it is started again."""
        self.client.close()
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _log_end(self) -> str:
        return self.log.read_text(errors="replace")[-500:] if self.log.exists() else ""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
