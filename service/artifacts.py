"""ArtifactFiles: files addressed by the SHA-256 of their bytes, on any fsspec file system."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec

from service.errors import ArtifactDamagedError

CHUNK = 2**20  # bytes


class ArtifactFiles:
    """A folder of files named by their digest. Whoever stores a row of one stores the file first."""

    def __init__(self, url: str) -> None:
        self._fs, self._root = fsspec.core.url_to_fs(url)

    @property
    def _is_local(self) -> bool:
        return "file" in self._fs.protocol

    def put(self, file: Path) -> tuple[str, int]:
        """Store a copy of ``file``; returns its SHA-256 (64 hex digits) and size in bytes.

        The copy is written beside its final place, read back, and renamed: a crash leaves
        nothing under a digest's name. Raises ArtifactDamagedError if the copy differs.
        """
        digest, size = _digest(_local_chunks(file))
        target = self._path(digest)
        if self._fs.exists(target):
            return self.verify(digest)
        self._fs.makedirs(self._root, exist_ok=True)
        self._fs.makedirs(target.rpartition("/")[0], exist_ok=True)
        temporary = f"{self._root}/tmp-{secrets.token_hex(8)}"
        try:
            self._copy(file, temporary)
            if _digest(self._chunks(temporary))[0] != digest:
                raise ArtifactDamagedError(f"{file}: the stored copy differs from the file")
            self._fs.mv(temporary, target)
        finally:
            if self._fs.exists(temporary):
                self._fs.rm_file(temporary)
        if self._is_local:
            _sync_folder(Path(target).parent)
        return digest, size

    def verify(self, digest: str) -> tuple[str, int]:
        """Digest and size of a stored file; ArtifactDamagedError if it is gone or not what it was."""
        path = self._path(digest)
        if not self._fs.exists(path):
            raise ArtifactDamagedError(f"artifact {digest}: its file is missing")
        found, size = _digest(self._chunks(path))
        if found != digest:
            raise ArtifactDamagedError(f"artifact {digest}: its bytes have the digest {found}")
        return digest, size

    def read(self, digest: str) -> Iterator[bytes]:
        """The bytes of a stored file in chunks, verified before the first one leaves."""
        self.verify(digest)
        return self._chunks(self._path(digest))

    def check(self) -> None:
        """Raise OSError unless files can be stored here."""
        self._fs.makedirs(self._root, exist_ok=True)
        if self._is_local and not os.access(self._root, os.W_OK):
            raise PermissionError(f"{self._root} cannot be written")

    def _path(self, digest: str) -> str:
        return f"{self._root}/{digest[:2]}/{digest}"

    def _copy(self, file: Path, target: str) -> None:
        with self._fs.open(target, "wb") as out:
            for chunk in _local_chunks(file):
                out.write(chunk)
            if self._is_local:
                out.flush()
                os.fsync(out.fileno())

    def _chunks(self, path: str) -> Iterator[bytes]:
        with self._fs.open(path, "rb") as stream:
            yield from _stream(stream)


def _local_chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        yield from _stream(stream)


def _stream(stream: Any) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK):
        yield chunk


def _digest(chunks: Iterator[bytes]) -> tuple[str, int]:
    sha, size = hashlib.sha256(), 0
    for chunk in chunks:
        sha.update(chunk)
        size += len(chunk)
    return sha.hexdigest(), size


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
