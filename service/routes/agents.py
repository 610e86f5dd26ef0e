"""Agents as their operator sees them: enrolling, listing, lifting a quarantine, revoking."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body

from db.remote.records import AgentRecord
from service.agents.secret import CODE, digest_of, new_secret
from service.deps import Cursor, Limit, NamePath, StoresDep
from service.schemas.agents import AgentAnswer, AgentPage, CodeAnswer, CodeBody
from service.web.body import StrictRoute

router = APIRouter(prefix="/agents", tags=["agents"], route_class=StrictRoute)


@router.post("/codes", status_code=201, operation_id="createAgentCode", summary="Make a one-time code")
def create_code(stores: StoresDep, body: Annotated[CodeBody, Body()]) -> CodeAnswer:
    """A code that makes one machine the agent of this name."""
    code = new_secret(CODE)
    record = stores.agents.add_code(body.name, digest_of(code), ttl_s=body.ttl_s)
    return CodeAnswer(name=record.agent, code=code, expires_at=record.expires_at)


@router.get("", operation_id="listAgents", summary="List agents")
def list_agents(stores: StoresDep, limit: Limit = 50, cursor: Cursor = None) -> AgentPage:
    """All agents."""
    page = stores.agents.list(limit=limit, cursor=cursor)
    return AgentPage(items=[answer(record) for record in page.items], next_cursor=page.next_cursor)


@router.get("/{name}", operation_id="getAgent", summary="Get an agent")
def get_agent(stores: StoresDep, name: NamePath) -> AgentAnswer:
    """One agent."""
    return answer(stores.agents.get(name))


@router.post("/{name}:lift", operation_id="liftQuarantine", summary="Lift an agent's quarantine")
def lift(stores: StoresDep, name: NamePath) -> AgentAnswer:
    """Let a quarantined agent have tasks again; its suspect results stay out of every fit."""
    return answer(stores.agents.lift(name))


@router.post("/{name}:revoke", operation_id="revokeAgent", summary="Revoke an agent's token")
def revoke(stores: StoresDep, name: NamePath) -> AgentAnswer:
    """End an agent's token and its lease at once; what it has measured stays."""
    return answer(stores.agents.revoke(name))


def answer(record: AgentRecord) -> AgentAnswer:
    """An agent on the wire."""
    return AgentAnswer(
        name=record.name,
        state=record.state.value,
        reason=record.reason,
        hardware=record.description.hardware,
        runtime=record.description.runtime,
        runtime_version=record.description.runtime_version,
        threads=record.description.threads,
        fingerprint=record.device.fingerprint,
        enrolled_at=record.enrolled_at,
        last_seen_at=record.last_seen_at,
    )
