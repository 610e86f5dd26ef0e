"""The API as an ASGI app. Its process loads neither torch nor ray."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.concurrency import run_in_threadpool

from service.deps import State, require_token
from service.routes import (
    agent,
    agents,
    artifacts,
    dashboard,
    devices,
    fronts,
    health,
    jobs,
    spaces,
    studies,
    subnets,
    supernets,
)
from service.settings import Settings
from service.stores import open_database, open_stores
from service.web import problems
from service.web.guard import Guard

PREFIX = "/api/v1"
ROUTERS = (jobs, spaces, supernets, devices, agents, studies, fronts, subnets)
AGENT_ROUTERS = (agent, artifacts)  # agents have tokens of their own, which these routes check


def create_app(settings: Settings) -> FastAPI:
    """The app of these settings; its database is opened and migrated when it starts.

    Every route below PREFIX asks for the token if there is one, or for an agent's; the two health
    routes do not.
    """
    app = FastAPI(
        title="StitchNAS",
        version=version("stitchnas"),
        description="Hardware-aware neural architecture search as a service.",
        lifespan=_lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
    )
    app.state.settings = settings
    api = APIRouter(prefix=PREFIX, dependencies=[Depends(require_token)], responses=problems.RESPONSES)
    for module in ROUTERS:
        api.include_router(module.router)
    for_agents = APIRouter(prefix=PREFIX, responses=problems.RESPONSES)
    for module in AGENT_ROUTERS:
        for_agents.include_router(module.router)
    api.add_api_route("/openapi.json", _document, include_in_schema=False)
    app.include_router(api)
    app.include_router(for_agents)
    app.include_router(health.router)
    app.include_router(dashboard.router)
    problems.install(app)
    app.add_middleware(Guard, hosts=settings.hosts, max_body_bytes=settings.max_body_bytes)
    return app


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of the app."""
    return problems.add_schema(app.openapi())


def _document(request: Request) -> dict[str, Any]:
    """The OpenAPI document."""
    return openapi_document(request.app)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    database = await run_in_threadpool(open_database, settings)
    app.state.nas = State(settings, database, open_stores(database, settings))
    try:
        yield
    finally:
        database.close()
