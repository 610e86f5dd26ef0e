"""Devices and their latency predictors."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter

from db.records import DeviceRecord
from service.deps import Cursor, DeviceFilter, Limit, NameFilter, NamePath, StoresDep, resolve_device
from service.schemas.results import DeviceAnswer, DevicePage, PredictorAnswer, PredictorPage

router = APIRouter(tags=["devices"])


@router.get("/devices", operation_id="listDevices", summary="List devices")
def list_devices(stores: StoresDep, limit: Limit = 50, cursor: Cursor = None) -> DevicePage:
    """All devices."""
    page = stores.devices.list_devices(limit=limit, cursor=cursor)
    return DevicePage(items=[_answer(record) for record in page.items], next_cursor=page.next_cursor)


@router.get("/devices/{name}", operation_id="getDevice", summary="Get a device")
def get_device(stores: StoresDep, name: NamePath) -> DeviceAnswer:
    """One device; ``here`` is the server's machine under the default runtime."""
    return _answer(stores.devices.get_device(resolve_device(name)))


@router.get("/predictors", operation_id="listPredictors", summary="List latency predictors")
def list_predictors(
    stores: StoresDep,
    supernet: NameFilter = None,
    device: DeviceFilter = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> PredictorPage:
    """Predictors with their quality on held-out subnets."""
    page = stores.devices.list_predictors(supernet=supernet, device=device, limit=limit, cursor=cursor)
    items = [PredictorAnswer.model_validate(record) for record in page.items]
    return PredictorPage(items=items, next_cursor=page.next_cursor)


def _answer(record: DeviceRecord) -> DeviceAnswer:
    return DeviceAnswer(
        **asdict(record.device), fingerprint=record.device.fingerprint, created_at=record.created_at
    )
