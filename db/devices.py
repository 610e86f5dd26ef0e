"""DeviceStore: devices, what was measured on them and the predictors fitted to that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

from sqlalchemy import ColumnElement, func, select, true, update
from sqlalchemy.orm import Session

from db.backend.checks import (
    check_integer,
    check_json,
    check_name,
    check_positive,
    check_text,
    check_times,
)
from db.backend.cursor import Keyset
from db.backend.upsert import insert_new
from db.errors import DeviceNotFoundError, PredictorExistsError, PredictorNotFoundError
from db.records import DeviceRecord, MeasuredSubnet, Page, PredictorRecord
from db.schema.base import database_now
from db.schema.convert import device_of, fingerprint_columns, predictor_of, sample_of
from db.schema.registry_rows import CampaignRow, DeviceRow, FingerprintRow, LatencySampleRow, PredictorRow
from db.session import Transactions
from predictors.device import Device
from predictors.sample import LatencySample

BY_NAME = Keyset("devices", (DeviceRow.name,))
NEWEST_FIRST = Keyset("predictors", (PredictorRow.created_at, PredictorRow.id), descending=True)
MAX_INT32 = 2**31 - 1


class DeviceStore:
    """Devices, latency samples and predictors. Raw times are kept for ever."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    def put_device(self, device: Device, *, allowed_kinds: Sequence[str] = ()) -> None:
        """Register a device, or say what the device of this name is now.

        Samples and predictors of an earlier fingerprint are kept, and no longer used for this name.
        ``allowed_kinds``: the block kinds that it runs exactly; empty means all.
        """
        check_device(device)
        columns = {
            "name": device.name,
            "fingerprint": device.fingerprint,
            "allowed_kinds": list(allowed_kinds),
            "created_at": database_now(),
        }

        def work(session: Session) -> None:
            insert_new(session, FingerprintRow, fingerprint_columns(device))
            if not insert_new(session, DeviceRow, columns):
                changed = {key: columns[key] for key in ("fingerprint", "allowed_kinds")}
                session.execute(update(DeviceRow).where(DeviceRow.name == device.name).values(**changed))

        self._database.run_write(work)

    def get_device(self, name: str) -> DeviceRecord:
        """Raises DeviceNotFoundError."""
        with self._database.read() as session:
            row = session.get(DeviceRow, name)
            if row is None:
                raise DeviceNotFoundError(f"no device {name!r}")
            return _device(session, row)

    def list_devices(self, *, limit: int = 50, cursor: str | None = None) -> Page[DeviceRecord]:
        """Devices by name. Raises InvalidCursorError and InvalidRecordError (limit)."""
        with self._database.read() as session:
            return BY_NAME.page(
                session,
                select(DeviceRow),
                lambda row: _device(session, row),
                limit=limit,
                cursor=cursor,
                filters={},
            )

    def add_samples(self, supernet: str, samples: Sequence[LatencySample], *, campaign: str) -> int:
        """Store raw times of subnets of a supernet, all or none; the number that were new.

        A campaign measures an arch once on a fingerprint: a second sample of it is not stored, so a
        repeated call changes nothing and the first times stay.
        """
        rows = sample_rows(supernet, campaign, samples)
        return self._database.run_write(lambda session: insert_samples(session, samples, rows))

    def list_samples(self, supernet: str, fingerprint: str) -> list[LatencySample]:
        """All samples of a supernet's subnets on a fingerprint, on one scale, in the order stored.

        Times of a campaign are multiplied by its scale; those of suspect campaigns are left out.
        """
        statement = (
            select(LatencySampleRow, func.coalesce(CampaignRow.scale, 1.0))
            .outerjoin(CampaignRow, CampaignRow.id == LatencySampleRow.campaign)
            .where(LatencySampleRow.supernet == supernet, LatencySampleRow.fingerprint == fingerprint)
            .where(_is_good())
            .order_by(LatencySampleRow.id)
        )
        with self._database.read() as session:
            properties = session.get(FingerprintRow, fingerprint)
            if properties is None:
                return []
            return [sample_of(row, properties).scaled(scale) for row, scale in session.execute(statement)]

    def measured(self, supernet: str, arch_key: str) -> list[MeasuredSubnet]:
        """What all campaigns, suspect ones too, measured of one of a supernet's subnets, oldest first."""
        statement = (
            select(LatencySampleRow, FingerprintRow, func.coalesce(CampaignRow.scale, 1.0), _is_good())
            .join(FingerprintRow, FingerprintRow.fingerprint == LatencySampleRow.fingerprint)
            .outerjoin(CampaignRow, CampaignRow.id == LatencySampleRow.campaign)
            .where(LatencySampleRow.supernet == supernet, LatencySampleRow.arch_key == arch_key)
            .order_by(LatencySampleRow.id)
        )
        with self._database.read() as session:
            return [
                MeasuredSubnet(
                    sample_of(row, properties).scaled(scale), row.campaign, bool(is_good), row.created_at
                )
                for row, properties, scale, is_good in session.execute(statement)
            ]

    def measured_in(self, space: str) -> list[tuple[str, str, int]]:
        """Supernet, fingerprint and number of samples in good campaigns of a space (its id), sorted."""
        of = (LatencySampleRow.supernet, LatencySampleRow.fingerprint)
        counts = (
            select(*of, func.count())
            .outerjoin(CampaignRow, CampaignRow.id == LatencySampleRow.campaign)
            .where(LatencySampleRow.space == space, _is_good())
            .group_by(*of)
        )
        with self._database.read() as session:
            return sorted((row[0], row[1], row[2]) for row in session.execute(counts))

    def put_predictor(self, record: PredictorRecord) -> None:
        """Store a predictor; the same record again changes nothing, another of its id raises
        PredictorExistsError.
        """
        for field in ("device", "supernet"):
            check_name(field, getattr(record, field))
        for field in ("id", "fingerprint", "space", "metric", "folder", "digest"):
            check_text(field, getattr(record, field))
        check_integer("n_samples", record.n_samples, 0, MAX_INT32)
        columns = asdict(replace(record, quality=check_json("quality", record.quality)))

        def work(session: Session) -> None:
            if insert_new(session, PredictorRow, columns):
                return
            if predictor_of(session.get_one(PredictorRow, record.id)) != record:
                raise PredictorExistsError(f"a predictor {record.id!r} with other contents exists")

        self._database.run_write(work)

    def get_predictor(self, predictor_id: str) -> PredictorRecord:
        """Raises PredictorNotFoundError."""
        with self._database.read() as session:
            row = session.get(PredictorRow, predictor_id)
            if row is None:
                raise PredictorNotFoundError(f"no predictor {predictor_id!r}")
            return predictor_of(row)

    def latest_predictor(
        self, supernet: str, device_name: str, metric: str = "latency_ms"
    ) -> PredictorRecord:
        """The newest predictor of the metric for the device *as it is now*.

        Raises PredictorNotFoundError when there is none, or only ones of an earlier fingerprint.
        """
        now = select(DeviceRow.fingerprint).where(DeviceRow.name == device_name).scalar_subquery()
        statement = select(PredictorRow).where(
            PredictorRow.supernet == supernet,
            PredictorRow.device == device_name,
            PredictorRow.metric == metric,
            PredictorRow.fingerprint == now,
        )
        newest = statement.order_by(PredictorRow.created_at.desc(), PredictorRow.id.desc()).limit(1)
        with self._database.read() as session:
            row = session.scalar(newest)
            if row is None:
                raise PredictorNotFoundError(
                    f"no {metric} predictor of supernet {supernet!r} on device {device_name!r} as it is now"
                )
            return predictor_of(row)

    def list_predictors(
        self,
        supernet: str | None = None,
        device: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[PredictorRecord]:
        """Predictors, newest first. Raises InvalidCursorError and InvalidRecordError (limit)."""
        statement = select(PredictorRow)
        if supernet is not None:
            statement = statement.where(PredictorRow.supernet == supernet)
        if device is not None:
            statement = statement.where(PredictorRow.device == device)
        filters = {"supernet": supernet, "device": device}
        with self._database.read() as session:
            return NEWEST_FIRST.page(
                session, statement, predictor_of, limit=limit, cursor=cursor, filters=filters
            )


def _device(session: Session, row: DeviceRow) -> DeviceRecord:
    return device_of(row, session.get_one(FingerprintRow, row.fingerprint))


def check_device(device: Device) -> None:
    """Raise InvalidRecordError, which names the field, for a device that cannot be stored."""
    check_name("device", device.name)
    for field in ("hardware", "runtime", "runtime_version", "precision"):
        check_text(field, getattr(device, field))
    check_integer("threads", device.threads, 1, MAX_INT32)
    check_integer("batch_size", device.batch_size, 1, MAX_INT32)


def sample_rows(supernet: str, campaign: str, samples: Sequence[LatencySample]) -> list[dict[str, object]]:
    """The rows of a campaign's samples; raises InvalidRecordError for what cannot be stored."""
    check_name("supernet", supernet)
    check_text("campaign", campaign)
    for device in {sample.device.fingerprint: sample.device for sample in samples}.values():
        check_device(device)
    return [_sample_columns(supernet, campaign, sample) for sample in samples]


def insert_samples(
    session: Session, samples: Sequence[LatencySample], rows: Sequence[dict[str, object]]
) -> int:
    """Insert the rows of samples; how many were new."""
    for device in {sample.device.fingerprint: sample.device for sample in samples}.values():
        insert_new(session, FingerprintRow, fingerprint_columns(device))
    return sum(insert_new(session, LatencySampleRow, row) for row in rows)


def _is_good() -> ColumnElement[bool]:
    """Of a sample outer-joined with its campaign; campaigns of early versions have no row."""
    return func.coalesce(CampaignRow.is_good, true())


def _sample_columns(supernet: str, campaign: str, sample: LatencySample) -> dict[str, object]:
    quantities = sample.quantities
    for field in ("file_size_bytes", "run_peak_memory_bytes"):
        if getattr(quantities, field) is not None:
            check_integer(field, getattr(quantities, field), 1)
    if quantities.energy_mj is not None:
        check_positive("energy_mj", quantities.energy_mj)
    return {
        "supernet": supernet,
        "fingerprint": sample.device.fingerprint,
        "campaign": campaign,
        "arch_key": sample.arch.key,
        "device": sample.device.name,
        "space": sample.arch.space,
        "genes": list(sample.arch.genes),
        "cpu_ms": check_times("cpu_ms", sample.cpu_ms),
        "wall_ms": check_times("wall_ms", sample.wall_ms),
        **asdict(quantities),
        "created_at": database_now(),
    }
