"""Trained supernets."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter

from db.records import SupernetRecord
from service.deps import Cursor, Limit, NamePath, StoresDep
from service.schemas.results import SupernetAnswer, SupernetPage
from service.stores import Stores

router = APIRouter(prefix="/supernets", tags=["supernets"])


@router.get("", operation_id="listSupernets", summary="List supernets")
def list_supernets(stores: StoresDep, limit: Limit = 50, cursor: Cursor = None) -> SupernetPage:
    """All supernets."""
    page = stores.supernets.list(limit=limit, cursor=cursor)
    return SupernetPage(items=_answers(page.items, stores), next_cursor=page.next_cursor)


@router.get("/{name}", operation_id="getSupernet", summary="Get a supernet")
def get_supernet(stores: StoresDep, name: NamePath) -> SupernetAnswer:
    """One supernet."""
    return _answers([stores.supernets.get(name)], stores)[0]


def _answers(records: Sequence[SupernetRecord], stores: Stores) -> list[SupernetAnswer]:
    found = stores.supernets.fidelity(record.name for record in records)
    reports = {name: one.report.to_dict() for name, one in found.items()}
    shown = [name for name in SupernetAnswer.model_fields if name != "fidelity"]
    return [
        SupernetAnswer.model_validate(
            {**{name: getattr(record, name) for name in shown}, "fidelity": reports.get(record.name)}
        )
        for record in records
    ]
