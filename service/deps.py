"""What routes ask for: stores, settings, paging, conditional headers; and the token check."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, HTTPException, Path, Query, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from db.session import Database
from predictors.device import local_name
from service.schemas.base import DIGEST_PATTERN, ID_PATTERN, NAME_PATTERN, SUBNET_PATTERN
from service.settings import Settings
from service.stores import Stores

DEFAULT_RUNTIME = "onnxruntime"
_bearer = HTTPBearer(auto_error=False, description="Needed when the server has a token")


@dataclass(frozen=True, slots=True)
class State:
    """What the app holds while it runs."""

    settings: Settings
    database: Database
    stores: Stores


def get_state(request: Request) -> State:
    """The app's state."""
    state = request.app.state.nas
    assert isinstance(state, State)
    return state


def get_stores(state: Annotated[State, Depends(get_state)]) -> Stores:
    """The app's stores."""
    return state.stores


def require_token(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> None:
    """401 unless ``is_user``."""
    if not is_user(request, credentials):
        raise HTTPException(401, "a valid bearer token is needed", {"WWW-Authenticate": "Bearer"})


def is_user(request: Request, credentials: HTTPAuthorizationCredentials | None) -> bool:
    """Whether the server has no token (then it listens on loopback only) or the client sends it."""
    settings: Settings = request.app.state.settings
    if settings.token is None:
        return True
    given = credentials.credentials if credentials is not None else ""
    return hmac.compare_digest(given.encode(), settings.token.get_secret_value().encode())


def local_device(runtime: str, threads: int = 1) -> str:
    """Name of this machine as a device of ``runtime``; more threads make another device of it."""
    return local_name(runtime) + (f"-t{threads}" if threads > 1 else "")


def resolve_device(name: str) -> str:
    """``here`` is this machine under the default runtime; other names are themselves."""
    return local_name(DEFAULT_RUNTIME) if name == "here" else name


def device_filter(
    device: Annotated[
        str | None, Query(pattern=NAME_PATTERN, description='A device, or "here" for the server\'s machine')
    ] = None,
) -> str | None:
    """The device filter with ``here`` resolved."""
    return None if device is None else resolve_device(device)


StateDep = Annotated[State, Depends(get_state)]
StoresDep = Annotated[Stores, Depends(get_stores)]
DeviceFilter = Annotated[str | None, Depends(device_filter)]
NameFilter = Annotated[str | None, Query(pattern=NAME_PATTERN)]
NumberFilter = Annotated[float | None, Query(allow_inf_nan=False)]
Limit = Annotated[int, Query(ge=1, le=1000, description="Items per page")]
Cursor = Annotated[str | None, Query(max_length=1000, description="next_cursor of the page before")]
JobId = Annotated[str, Path(pattern=ID_PATTERN)]
NamePath = Annotated[str, Path(pattern=NAME_PATTERN)]
SubnetPath = Annotated[str, Path(pattern=SUBNET_PATTERN, description="SUPERNET:ARCHKEY")]
DigestPath = Annotated[str, Path(pattern=DIGEST_PATTERN)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="The same key with the same body gives the same job",
    ),
]
