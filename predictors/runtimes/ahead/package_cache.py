"""A folder of compiled networks by key: each is compiled once, and the least recently used are dropped."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

from predictors.errors import InvalidValueError

SUFFIX = ".pt2"
LIMIT = 256  # files; a subnet of a tiny space takes 3 MB


def default_folder() -> Path:
    """``stitchnas/inductor`` in the user's cache folder (XDG_CACHE_HOME, else ~/.cache)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "stitchnas" / "inductor"


class PackageCache:
    """Files named by their key. Any number of processes may share the folder.

    What is in it gets executed, so the folder must belong to this user and nobody else may write there.
    """

    def __init__(self, folder: Path, limit: int = LIMIT) -> None:
        self._folder = folder
        self._limit = limit

    def get(self, key: str, make: Callable[[Path], None]) -> Path:
        """The file of the key; ``make`` writes it to the path that it is given if there is none yet.

        Raises InvalidValueError if the folder is not this user's alone.
        """
        folder = self._checked()
        path = folder / f"{key}{SUFFIX}"
        if path.exists():
            os.utime(path)
            return path
        with tempfile.TemporaryDirectory(dir=folder, prefix="new-") as scratch:
            made = Path(scratch) / path.name
            make(made)
            made.replace(path)
        self._drop_oldest(keep=path)
        return path

    def _checked(self) -> Path:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = self._folder.stat()
        if status.st_uid != os.getuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise InvalidValueError(
                f"cache folder {self._folder} holds code that is run: it must belong to this user and be "
                f"writable by nobody else; its mode is {stat.S_IMODE(status.st_mode):o}"
            )
        return self._folder

    def _drop_oldest(self, keep: Path) -> None:
        files = [(_used(path), path) for path in self._folder.glob(f"*{SUFFIX}") if path != keep]
        for _, path in sorted(files)[: max(0, len(files) + 1 - self._limit)]:
            path.unlink(missing_ok=True)


def _used(path: Path) -> float:
    """When it was last used; 0 for a file that another process has just dropped."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
