"""Liveness and readiness: the only routes without a token."""

from __future__ import annotations

from fastapi import APIRouter

from db.errors import DatabaseUnavailableError
from service.deps import StateDep
from service.schemas.results import HealthAnswer
from service.web.problems import RESPONSES

router = APIRouter(tags=["health"], responses=RESPONSES)


@router.get("/healthz", operation_id="getHealth", summary="Whether the process runs")
async def get_health() -> HealthAnswer:
    """Answers as long as the process does."""
    return HealthAnswer(status="ok")


@router.get("/readyz", operation_id="getReadiness", summary="Whether requests can be served")
def get_readiness(state: StateDep) -> HealthAnswer:
    """503 unless the database is migrated and reachable and artifacts can be stored."""
    state.database.check()
    try:
        state.stores.files.check()
    except OSError as error:
        raise DatabaseUnavailableError(f"the artifact store cannot be written: {error}") from error
    return HealthAnswer(status="ok")
