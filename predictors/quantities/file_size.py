"""Size of the file that a runtime loads a network from."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class FromFile(Protocol):
    """A session whose network came as one file; sessions of a runtime without files are none of these."""

    @property
    def file_size_bytes(self) -> int:
        """Size of that file."""
        ...


def file_size(session: object) -> int | None:
    """Size of the session's file in bytes, if it has one."""
    return session.file_size_bytes if isinstance(session, FromFile) else None
