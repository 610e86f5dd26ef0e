"""CampaignStore: measurement campaigns, judged beside the first good one of their device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.backend.checks import check_json, check_text, check_times, clean_text
from db.backend.upsert import insert_new
from db.devices import check_device, insert_samples, sample_rows
from db.records import CampaignRecord
from db.schema.base import database_now
from db.schema.convert import campaign_of, fingerprint_columns
from db.schema.registry_rows import CampaignRow, FingerprintRow
from db.session import Transactions
from predictors.campaign import Campaign
from predictors.device import Device
from predictors.protocol import MeasurementProtocol
from predictors.references.plan import VERSION
from predictors.sample import LatencySample
from predictors.trust import judge

NO_REFERENCES = 0  # the version of the reference networks of a campaign that measured none


class CampaignStore:
    """Campaigns. Raw times are kept for ever, those of suspect campaigns too."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    def add(
        self,
        campaign_id: str,
        supernet: str,
        campaign: Campaign,
        *,
        device: Device,
        protocol: MeasurementProtocol,
    ) -> CampaignRecord:
        """Judge a campaign over a supernet's subnets, and store it with its samples, all or nothing.

        A campaign that is stored already stays as it was. Raises InvalidRecordError.
        """
        check_device(device)
        rows = sample_rows(supernet, campaign_id, campaign.samples)

        def work(session: Session) -> CampaignRecord:
            record = judged(session, campaign_id, campaign, device=device, protocol=protocol)
            insert_samples(session, campaign.samples, rows)
            return record

        return self._database.run_write(work)

    def find(self, campaign_id: str) -> CampaignRecord | None:
        """The campaign of this id, if any."""
        with self._database.read() as session:
            row = session.get(CampaignRow, campaign_id)
            return None if row is None else _record(session, row)

    def of_fingerprint(self, fingerprint: str) -> list[CampaignRecord]:
        """All campaigns of a fingerprint, oldest first."""
        rows = select(CampaignRow).where(CampaignRow.fingerprint == fingerprint)
        with self._database.read() as session:
            found = session.scalars(rows.order_by(CampaignRow.created_at, CampaignRow.id))
            return [_record(session, row) for row in found]


def judged(
    session: Session, campaign_id: str, campaign: Campaign, *, device: Device, protocol: MeasurementProtocol
) -> CampaignRecord:
    """Judge and insert a campaign without its samples: every device's are judged here and nowhere else."""
    check_text("id", campaign_id)
    version = VERSION if campaign.references else NO_REFERENCES
    verdict = judge(campaign, _baseline(session, device.fingerprint, version), protocol)
    insert_new(session, FingerprintRow, fingerprint_columns(device))
    columns = {
        "id": campaign_id,
        "device": device.name,
        "fingerprint": device.fingerprint,
        "protocol": check_json("protocol", asdict(protocol)),
        "reference_set": version,
        "references": [_times(sample) for sample in campaign.references],
        "references_ms": list(verdict.references_ms),
        "repeats": [{"genes": list(sample.arch.genes), **_times(sample)} for sample in campaign.repeats],
        "repeatability": campaign.repeatability,
        "scale": verdict.scale,
        "is_good": verdict.is_good,
        "reason": clean_text("; ".join(verdict.reasons)) or None,
        "created_at": database_now(),
    }
    insert_new(session, CampaignRow, columns)
    return _record(session, session.get_one(CampaignRow, campaign_id))


def _times(sample: LatencySample) -> dict[str, Any]:
    return {
        "cpu_ms": check_times("cpu_ms", sample.cpu_ms),
        "wall_ms": check_times("wall_ms", sample.wall_ms),
    }


def _baseline(session: Session, fingerprint: str, version: int) -> Sequence[float] | None:
    """The references' times in the first good campaign of a fingerprint that measured the same ones."""
    if version == NO_REFERENCES:
        return None
    good = select(CampaignRow).where(
        CampaignRow.fingerprint == fingerprint, CampaignRow.is_good, CampaignRow.reference_set == version
    )
    row = session.scalar(good.order_by(CampaignRow.created_at, CampaignRow.id).limit(1))
    return None if row is None else row.references_ms


def _record(session: Session, row: CampaignRow) -> CampaignRecord:
    return campaign_of(row, session.get_one(FingerprintRow, row.fingerprint))
