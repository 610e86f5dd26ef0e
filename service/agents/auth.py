"""Who is asking: an agent by its own token, a machine by a one-time code, or a reader of a file."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from db.errors import AgentCodeError
from db.remote.records import AgentRecord
from service.agents.secret import CODE, TOKEN, digest_of
from service.deps import DigestPath, StoresDep, is_user
from service.settings import Settings
from service.stores import Stores

CHALLENGE = {"WWW-Authenticate": "Bearer"}
_bearer = HTTPBearer(auto_error=False, description="An agent's token, or a one-time code to enroll")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


def require_agent(request: Request, stores: StoresDep, credentials: Credentials) -> AgentRecord:
    """The agent with this token; 403 for the server's own token, 401 otherwise."""
    agent = _agent(stores, credentials)
    if agent is None:
        raise _refusal(request, credentials, "an agent's token is needed")
    return agent


def require_code(request: Request, stores: StoresDep, credentials: Credentials) -> str:
    """SHA-256 of a one-time code that can still be used; 403 for the server's own token, 401 otherwise."""
    given = "" if credentials is None else credentials.credentials
    if given.startswith(CODE):
        try:
            stores.agents.find_code(digest_of(given))
        except AgentCodeError as error:
            raise HTTPException(401, str(error), CHALLENGE) from None
        return digest_of(given)
    raise _refusal(request, credentials, "a one-time code is needed")


def require_reader(request: Request, stores: StoresDep, sha256: DigestPath, credentials: Credentials) -> None:
    """A user, or the agent that holds the task to which the file belongs. 401 for all others."""
    if is_user(request, credentials):
        return
    agent = _agent(stores, credentials)
    if agent is None or not stores.measurements.is_leased_file(agent.name, sha256):
        raise HTTPException(401, "a valid bearer token is needed", CHALLENGE)


def _agent(stores: Stores, credentials: HTTPAuthorizationCredentials | None) -> AgentRecord | None:
    given = "" if credentials is None else credentials.credentials
    return stores.agents.authenticate(digest_of(given)) if given.startswith(TOKEN) else None


def _refusal(
    request: Request, credentials: HTTPAuthorizationCredentials | None, needed: str
) -> HTTPException:
    settings: Settings = request.app.state.settings
    if settings.token is not None and is_user(request, credentials):
        return HTTPException(403, f"{needed}, not the server's")
    return HTTPException(401, needed, CHALLENGE)


AgentDep = Annotated[AgentRecord, Depends(require_agent)]
CodeDep = Annotated[str, Depends(require_code)]
