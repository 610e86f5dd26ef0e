"""Campaigns of a server's own machine: judged beside the first good one, and suspect ones kept apart."""

from __future__ import annotations

from dataclasses import replace

import pytest

from db.campaigns import CampaignStore
from db.devices import DeviceStore
from db.errors import InvalidRecordError
from db.records import CampaignRecord
from db.session import Database
from predictors.campaign import Campaign
from predictors.protocol import MeasurementProtocol
from predictors.sample import LatencySample, Quantities
from tests.db.test_registry import ARCHS, DEVICE

PROTOCOL = MeasurementProtocol(passes=7, min_spearman=0.9)
SIZES = Quantities(file_size_bytes=5000, run_peak_memory_bytes=2**20, energy_mj=1.5)


class Machine:
    """The stores of one machine, and campaigns over twelve networks of 1 to 12 ms."""

    def __init__(self, database: Database) -> None:
        self.campaigns, self.devices = CampaignStore(database), DeviceStore(database)

    def add(
        self, name: str, slower: float = 1.0, repeats: float = 1.0, references: int = 6
    ) -> CampaignRecord:
        def samples(times: list[float]) -> tuple[LatencySample, ...]:
            return tuple(
                LatencySample(a, DEVICE, (slower * ms,) * 2, (slower * ms,) * 2, SIZES)
                for a, ms in zip(ARCHS, times, strict=False)
            )

        times = [1.0 + i for i in range(12)]
        campaign = Campaign(
            samples(times),
            samples([repeats * ms for ms in times[:4]]),
            {},
            samples([0.1 + 0.1 * i for i in range(references)]),
        )
        return self.campaigns.add(name, "digits", campaign, device=DEVICE, protocol=PROTOCOL)

    def times(self) -> list[float]:
        return [s.latency_ms for s in self.devices.list_samples("digits", DEVICE.fingerprint)]


@pytest.fixture
def machine(database: Database) -> Machine:
    return Machine(database)


def test_a_later_campaign_is_brought_to_the_scale_of_the_first(machine: Machine) -> None:
    first, second = machine.add("one"), machine.add("two", slower=1.25)
    assert (first.scale, second.scale) == (1.0, pytest.approx(0.8))
    assert machine.times() == pytest.approx([1.0 + i for i in range(12)] * 2)
    found = machine.campaigns.of_fingerprint(DEVICE.fingerprint)
    assert found == [first, second]
    assert (first.protocol, first.device) == (PROTOCOL, DEVICE)
    assert first.repeatability["self_spearman"] == pytest.approx(1.0)


def test_a_suspect_campaign_is_kept_with_its_reason_and_enters_no_fit(machine: Machine) -> None:
    machine.add("one")
    suspect = machine.add("two", repeats=2.0)
    assert not suspect.is_good
    assert "measured twice differ" in str(suspect.reason)
    assert len(machine.times()) == 12
    assert machine.devices.measured_in(ARCHS[0].space) == [("digits", DEVICE.fingerprint, 12)]
    kept = machine.devices.measured("digits", ARCHS[2].key)
    assert [(found.campaign, found.is_good) for found in kept] == [("one", True), ("two", False)]
    assert all(found.sample.quantities == SIZES for found in kept)


@pytest.mark.parametrize("slower", [1.6, 0.5, 5000.0])
def test_a_machine_in_another_condition_is_suspect(machine: Machine, slower: float) -> None:
    machine.add("one")
    record = machine.add("two", slower=slower)
    assert "times as slow as in its first campaign" in str(record.reason)
    assert machine.add("three").is_good  # the first good one stays the scale


def test_a_campaign_without_references_is_no_scale(machine: Machine) -> None:
    machine.add("one", slower=3.0, references=0)
    machine.add("two")
    assert machine.add("three", slower=1.25).scale == pytest.approx(0.8)


def test_the_same_campaign_again_changes_nothing(machine: Machine) -> None:
    first = machine.add("one")
    assert machine.add("one", slower=1.25) == first
    assert machine.times() == [1.0 + i for i in range(12)]
    assert machine.campaigns.find("two") is None


@pytest.mark.parametrize(
    "bad",
    [Quantities(run_peak_memory_bytes=0), Quantities(file_size_bytes=-1), Quantities(energy_mj=float("nan"))],
)
def test_absurd_quantities_and_times_store_nothing(machine: Machine, bad: Quantities) -> None:
    good = LatencySample(ARCHS[0], DEVICE, (1.0,), (1.0,))
    for sample in (
        replace(good, quantities=bad),
        replace(good, cpu_ms=(float("nan"),)),
        replace(good, wall_ms=(-1.0,)),
    ):
        with pytest.raises(InvalidRecordError):
            machine.campaigns.add("x", "digits", Campaign((good, sample)), device=DEVICE, protocol=PROTOCOL)
    assert machine.campaigns.find("x") is None
    assert machine.times() == []
