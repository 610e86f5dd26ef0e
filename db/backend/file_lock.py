"""FileLock: what only one process at a time may do, held by a ``flock`` that its holder's death frees."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class FileLock:
    """An exclusive lock on ``path``, made when missing in a folder that exists; no child inherits it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def attempt(self) -> Iterator[bool]:
        """Hold the lock inside the block if nobody else does; yields whether this holder has it.

        Raises OSError if the file cannot be made or its file system knows no locks.
        """
        handle = os.open(self.path, FLAGS, 0o600)
        try:
            os.utime(handle)  # keeps those who tidy temporary folders away from it
            yield _try_lock(handle)
        finally:
            os.close(handle)


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
