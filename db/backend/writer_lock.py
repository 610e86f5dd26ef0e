"""WriterLock: one writer at a time among all processes that use one SQLite file.

SQLite 3.7.0 to 3.51.2 can damage a WAL database when one connection checkpoints at the very
moment another commits. Every write transaction therefore holds an exclusive ``flock`` on a file
beside the database from before BEGIN until after COMMIT, which is when automatic checkpoints
run, so that the two cannot meet. The kernel frees the lock when its holder dies.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from db.errors import DatabaseBusyError, DatabaseUnavailableError

FIRST_WAIT_S = 0.0005
LONGEST_WAIT_S = 0.02


class WriterLock:
    """An exclusive lock on ``path``; holders are threads or processes alike, and it is not reentrant."""

    def __init__(self, path: Path, *, timeout_s: float) -> None:
        self._path = path
        self._timeout_s = timeout_s

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the lock; DatabaseBusyError when others held it for ``timeout_s``."""
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise DatabaseUnavailableError(f"cannot lock {self._path}: {error.strerror}") from error
        try:
            self._wait(handle)
            yield
        finally:
            os.close(handle)

    def _wait(self, handle: int) -> None:
        deadline = time.monotonic() + self._timeout_s
        wait_s = FIRST_WAIT_S
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise DatabaseBusyError(
                        f"another writer held {self._path} for {self._timeout_s:g} s"
                    ) from None
            else:
                return
            time.sleep(wait_s)
            wait_s = min(2.0 * wait_s, LONGEST_WAIT_S)
