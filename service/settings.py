"""Settings of every process of the service, read from ``NAS_*`` environment variables."""

from __future__ import annotations

import ipaddress
import json
import os
import tempfile
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service.errors import SettingsError

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


def _machine_lock() -> Path:
    return Path(tempfile.gettempdir()) / f"stitchnas-{os.getuid()}" / "machine.lock"


class Settings(BaseSettings):
    """Where things are kept, where the API listens, and how patient the worker is. Times in seconds.

    Binding to anything but loopback needs a token. Make one with ``load_settings``.
    """

    model_config = SettingsConfigDict(env_prefix="NAS_", extra="ignore", frozen=True)

    data_dir: Path = Path("nas-data")
    database_url: str = Field(default="", repr=False, description="Empty: SQLite in data_dir")
    artifacts: str = Field(default="", description="fsspec URL; empty: a folder in data_dir")
    data_roots: Annotated[tuple[Path, ...], NoDecode] = Field(
        default=(), description="Folders that jobs may read images from: PATH:PATH… or a JSON list"
    )
    machine_lock: Path = Field(
        default_factory=_machine_lock, description="Held by the one worker of this machine that does a job"
    )
    ray_address: str | None = Field(
        default=None, description="HOST:PORT of a Ray cluster; empty: a local Ray"
    )
    ray_actors: int | None = Field(
        default=None,
        ge=1,
        description="Evaluation workers; empty: one per CPU of this machine or the cluster",
    )
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    token: SecretStr | None = Field(default=None, min_length=16)
    allowed_hosts: tuple[str, ...] = ()
    runner: str = Field(default="service.runner", pattern=r"^[A-Za-z_][A-Za-z0-9_.]*$")
    max_body_bytes: int = Field(default=2**20, ge=1024)
    lease_ttl_s: float = Field(default=60.0, gt=0)
    heartbeat_s: float = Field(default=10.0, gt=0)
    poll_s: float = Field(default=0.5, gt=0)
    agent_lease_s: float = Field(default=60.0, gt=0, description="Of a measurement task without heartbeat")
    agent_wait_s: float = Field(default=900.0, gt=0, description="For an agent that is not heard of")
    cancel_grace_s: float = Field(default=30.0, ge=0)

    @field_validator("data_roots", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str) or not value:
            return value or ()
        return json.loads(value) if value.startswith("[") else value.split(os.pathsep)

    @field_validator("data_roots")
    @classmethod
    def _resolve(cls, roots: tuple[Path, ...]) -> tuple[Path, ...]:
        expanded = [os.path.expanduser(root) for root in roots]
        if not all(map(os.path.isabs, expanded)):
            raise ValueError("every folder must be an absolute path")
        return tuple(Path(os.path.realpath(root)) for root in expanded)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.token is None and not is_loopback(self.host):
            raise ValueError(
                f"host {self.host} can be reached from other machines: "
                "set NAS_TOKEN (16 characters or more), or listen on 127.0.0.1"
            )
        if self.lease_ttl_s < 4 * self.heartbeat_s:
            raise ValueError(
                f"lease_ttl_s must be at least four times heartbeat_s {self.heartbeat_s:g}; "
                f"got {self.lease_ttl_s:g}"
            )
        return self

    @property
    def folder(self) -> Path:
        """``data_dir`` as an absolute path."""
        return self.data_dir.expanduser().absolute()

    @property
    def database(self) -> str:
        """SQLAlchemy URL of the database."""
        return self.database_url or f"sqlite:///{self.folder / 'nas.db'}"

    @property
    def artifacts_url(self) -> str:
        """URL (fsspec) of the folder that holds artifacts."""
        return self.artifacts or str(self.folder / "artifacts")

    @property
    def hosts(self) -> frozenset[str]:
        """Host names that requests may carry, in lower case."""
        return frozenset(name.lower() for name in (*LOOPBACK_NAMES, self.host, *self.allowed_hosts))

    def may_read(self, path: Path) -> bool:
        """Whether a job may read images from ``path``: links and ``..`` do not lead out of ``data_roots``.

        Without ``data_roots`` it may read all that this process can, unless others than the people
        of this machine may submit jobs; then nothing.
        """
        if not self.data_roots:
            return self.token is None and is_loopback(self.host)
        real = Path(os.path.realpath(path))  # unlike resolve, raises for no path
        return path.is_absolute() and any(real.is_relative_to(root) for root in self.data_roots)

    def environment(self) -> dict[str, str]:
        """The environment of this process with these settings in it, for a child process."""
        api_only = {"token", "allowed_hosts", "data_roots"}
        values = self.model_dump(mode="json", exclude_none=True, exclude=api_only)
        values["data_dir"] = str(self.folder)
        return {**os.environ, **{f"NAS_{name.upper()}": str(value) for name, value in values.items()}}


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens on ``host``."""
    if host in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def load_settings(**overrides: object) -> Settings:
    """Settings from the environment; ``overrides`` that are not None win.

    Raises SettingsError, which names each bad setting.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings.model_validate({**Settings().model_dump(), **given}) if given else Settings()
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'settings'}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors(include_input=False, include_url=False)
        )
        raise SettingsError(problems) from None
