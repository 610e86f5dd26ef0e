from __future__ import annotations

from benchmarks.campaign_report import agreement, runtime_row, text_of
from predictors.campaign import Campaign
from predictors.protocol import MeasurementProtocol
from predictors.sample import LatencySample, Quantities
from tests.predictors.fakes import DEVICE, archs

PROTOCOL = MeasurementProtocol(min_spearman=0.9)


def campaign(factor: float = 1.0, repeats: float = 1.0, n: int = 12) -> Campaign:
    def samples(times: list[float], size: int | None = None) -> tuple[LatencySample, ...]:
        return tuple(
            LatencySample(arch, DEVICE, (ms,), (ms,), Quantities(size))
            for arch, ms in zip(archs(len(times)), times, strict=True)
        )

    times = [factor * (1 + i) for i in range(n)]
    return Campaign(samples(times, 5000), samples([repeats * ms for ms in times[:4]]), {}, samples(times[:6]))


def test_a_report_says_what_is_believed_and_on_what_scale() -> None:
    first = runtime_row(campaign(), DEVICE, PROTOCOL, None)
    second = runtime_row(campaign(1.25), DEVICE, PROTOCOL, first["references_ms"])
    assert (first["believed"], first["scale"]) == (True, 1.0)
    assert abs(second["scale"] - 0.8) < 1e-9
    assert second["latency_ms"] == {"n": 12, "min": 1.25, "median": 8.125, "max": 15.0}
    assert (first["file_size_bytes"]["median"], first["run_peak_memory_bytes"]) == (5000, {"n": 0})
    noisy = runtime_row(campaign(repeats=2.0), DEVICE, PROTOCOL, None)
    assert not noisy["believed"]
    assert "SUSPECT: repeats" in text_of("fake", noisy)
    assert "believed" in text_of("fake", first)


def test_runtimes_are_compared_over_the_subnets_that_both_ran() -> None:
    (row,) = agreement({"a": campaign(), "b": campaign(2.0, n=8), "c": Campaign(())})
    assert (row["first"], row["second"], row["n"], row["spearman"]) == ("a", "b", 8, 1.0)
