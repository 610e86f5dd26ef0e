"""The agent's own token, in a file that only its user can read."""

from __future__ import annotations

import json
import os
import secrets
import stat
from dataclasses import asdict, dataclass
from pathlib import Path

from predictors.errors import CredentialsError


@dataclass(frozen=True, slots=True)
class Credentials:
    """The agent's name and token at one server."""

    server: str
    name: str
    token: str


def default_file() -> Path:
    """``agent.json`` in the user's configuration folder."""
    folder = os.environ.get("XDG_CONFIG_HOME")
    return (Path(folder) if folder else Path.home() / ".config") / "stitchnas" / "agent.json"


def save(file: Path, credentials: Credentials) -> None:
    """Write the file with mode 0600, all of it or nothing. Raises CredentialsError."""
    temporary = file.with_name(f".{file.name}-{secrets.token_hex(8)}")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as out:
            json.dump(asdict(credentials), out)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(file)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise CredentialsError(f"{file}: cannot be written ({error.strerror})") from None


def load(file: Path) -> Credentials:
    """Raises CredentialsError for a file that is missing, damaged or open to other users."""
    try:
        mode, text = stat.S_IMODE(file.stat().st_mode), file.read_text(errors="replace")
    except FileNotFoundError:
        raise CredentialsError(f"{file}: not there; enroll with --server URL --code CODE first") from None
    except OSError as error:
        raise CredentialsError(f"{file}: cannot be read ({error.strerror})") from None
    if os.name == "posix" and mode & 0o077:
        raise CredentialsError(f"{file}: other users can read it; run chmod 600 on it")
    try:
        document = json.loads(text)
        values = {field: document[field] for field in ("server", "name", "token")}
    except (ValueError, KeyError, TypeError):
        raise CredentialsError(f"{file}: damaged; enroll again with a new code") from None
    if not all(isinstance(value, str) for value in values.values()):
        raise CredentialsError(f"{file}: damaged; enroll again with a new code")
    return Credentials(**values)
