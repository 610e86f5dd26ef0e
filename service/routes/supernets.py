"""Trained supernets."""

from __future__ import annotations

from fastapi import APIRouter

from service.deps import Cursor, Limit, NamePath, StoresDep
from service.schemas.results import SupernetAnswer, SupernetPage

router = APIRouter(prefix="/supernets", tags=["supernets"])


@router.get("", operation_id="listSupernets", summary="List supernets")
def list_supernets(stores: StoresDep, limit: Limit = 50, cursor: Cursor = None) -> SupernetPage:
    """All supernets."""
    page = stores.supernets.list(limit=limit, cursor=cursor)
    items = [SupernetAnswer.model_validate(record) for record in page.items]
    return SupernetPage(items=items, next_cursor=page.next_cursor)


@router.get("/{name}", operation_id="getSupernet", summary="Get a supernet")
def get_supernet(stores: StoresDep, name: NamePath) -> SupernetAnswer:
    """One supernet."""
    return SupernetAnswer.model_validate(stores.supernets.get(name))
