"""Which files of the server a job may name."""

from __future__ import annotations

import os
from pathlib import Path

from service.settings import Settings

OUTSIDE = "its path must be absolute and lie in one of the folders of NAS_DATA_ROOTS on the server"
NO_ROOTS = (
    "this server reads no paths, because other machines or people with a token can reach it: "
    "start it with NAS_DATA_ROOTS set to the folders that hold images"
)
MISSING = "its path does not exist on the server"


def path_error(path: str, settings: Settings) -> str | None:
    """Why a job may not read ``path``, or None if it may and the path exists.

    Permission comes first: nobody learns what exists elsewhere.
    """
    if "\0" in path:
        return "a path has no NUL character"
    if not settings.may_read(Path(path)):
        return OUTSIDE if settings.data_roots else NO_ROOTS
    if not os.path.exists(path):  # unlike Path's, False for a path that cannot be looked up
        return MISSING
    return None
