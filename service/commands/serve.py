"""``nas serve``, ``worker``, ``openapi``: processes of the service itself."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
import uvicorn

from db.backend.engine import sqlite_file
from db.backend.file_lock import FileLock
from db.errors import DatabaseUrlError
from searchspaces.errors import NasError
from service.app import create_app, openapi_document
from service.commands.output import err, print_json
from service.errors import DatabaseInUseError, ServerStartError, SettingsError
from service.runner import PARENT_VARIABLE
from service.settings import Settings, load_settings
from service.worker import main as work

DATABASE_IN_USE = 3  # exit code
RESTART_S = 1.0
STOP_S = 40.0  # a worker first waits for its runner to stop
GRACE_S = 3  # for open event streams when the server stops
DataDir = Annotated[Path | None, typer.Option(help="Folder of everything stored (NAS_DATA_DIR).")]


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on (NAS_HOST).")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one (NAS_PORT).")] = None,
    data_dir: DataDir = None,
    worker: Annotated[bool, typer.Option("--worker/--no-worker", help="Start a worker too.")] = True,
) -> None:
    """Serve the API and, unless told otherwise, run one worker."""
    settings = _settings(host=host, port=port, data_dir=data_dir)
    try:
        with only_server(settings.database):
            _serve(settings, listen(settings.host, settings.port), with_worker=worker)
    except DatabaseInUseError as error:
        _fail(error, DATABASE_IN_USE)
    except (ServerStartError, DatabaseUrlError) as error:
        _fail(error, 1)


def _serve(settings: Settings, sock: socket.socket, *, with_worker: bool) -> None:
    config = uvicorn.Config(
        create_app(settings),
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=30,
    )
    keeper = WorkerKeeper(settings.environment()) if with_worker else None
    server = _Server(config, f"http://{_in_url(settings.host)}:{sock.getsockname()[1]}", keeper)
    for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn raises them again when it has stopped
        signal.signal(number, lambda *_: None)
    try:
        server.run(sockets=[sock])
    finally:
        if keeper is not None:
            keeper.stop()
    if not server.started:
        raise typer.Exit(1)


def worker(data_dir: DataDir = None) -> None:
    """Run a worker, which does queued jobs one at a time."""
    settings = _settings(data_dir=data_dir)
    os.environ.update(settings.environment())
    work()


def openapi() -> None:
    """Print the OpenAPI document."""
    print_json(openapi_document(create_app(_settings())))


class _Server(uvicorn.Server):
    """Starts the worker, and says where the API is, once the API answers."""

    def __init__(self, config: uvicorn.Config, url: str, keeper: WorkerKeeper | None) -> None:
        super().__init__(config)
        self._url, self._keeper = url, keeper

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn; the database is migrated when this returns."""
        await super().startup(sockets)
        if self.should_exit:
            return
        if self._keeper is not None:
            self._keeper.start()
        note = "with a worker" if self._keeper is not None else "without a worker"
        err.print(f"StitchNAS at {self._url} ({note}); Ctrl-C stops it")


class WorkerKeeper:
    """Keeps one worker process running until it is stopped; the worker dies with this process."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = {**environment, PARENT_VARIABLE: str(os.getpid())}
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep, name="worker-keeper", daemon=True)

    def start(self) -> None:
        """Start the worker; it is started again whenever it dies."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the worker, which stops its runner and gives its job back; kill it if it does not go."""
        self._stopping.set()
        with self._lock:
            if self._process is not None:
                self._process.terminate()
        if self._thread.is_alive():
            self._thread.join(STOP_S)
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                self._process.kill()

    def _keep(self) -> None:
        while not self._stopping.is_set():
            with self._lock:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "service.worker"], env=self._environment, start_new_session=True
                )
            code = self._process.wait()
            if not self._stopping.wait(RESTART_S):
                logging.getLogger(__name__).warning("the worker died (%d); starting another", code)


@contextmanager
def only_server(database_url: str) -> Iterator[None]:
    """Keep other servers off a SQLite file inside the block; a PostgreSQL database may have many.

    Raises DatabaseInUseError if a server has the file, ServerStartError if it cannot be locked.
    """
    file = sqlite_file(database_url)
    if file is None:
        yield
        return
    with ExitStack() as stack:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            is_free = stack.enter_context(FileLock(file.with_name(f"{file.name}-server")).attempt())
        except OSError as error:
            raise ServerStartError(f"cannot lock {file}: {error.strerror}") from None
        if not is_free:
            raise DatabaseInUseError(
                f"another server has {file} open; use that one, or give this one a NAS_DATA_DIR of its own"
            )
        yield


def listen(host: str, port: int) -> socket.socket:
    """A bound TCP socket; raises ServerStartError that names the address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise ServerStartError(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
    return sock


def _settings(**overrides: object) -> Settings:
    try:
        return load_settings(**overrides)
    except SettingsError as error:
        _fail(error, 2)


def _fail(error: NasError, code: int) -> NoReturn:
    err.print(f"error: {error}", markup=False)
    raise typer.Exit(code) from None


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
