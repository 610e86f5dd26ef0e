"""Quantities besides latency: peak memory of a run, energy, file size."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from predictors.campaign import Campaign
from predictors.device import Device
from predictors.errors import InvalidValueError, MeasurementStoppedError, UnsupportedModelError
from predictors.latency import LatencyPredictor
from predictors.latency_files import load_latency
from predictors.protocol import MeasurementProtocol, ProfileProgress
from predictors.quantities import measured
from predictors.quantities.energy import RaplCounter, counters_of, energy_per_run_mj
from predictors.quantities.file_size import file_size
from predictors.quantities.measured import with_quantities
from predictors.quantities.memory import is_measurable, run_peak_memory_bytes
from predictors.references.onnx_models import reference_nets
from predictors.runtimes.onnx_session import OnnxSession
from predictors.sample import LatencySample, Quantities
from searchspaces.cost import cost
from tests.contracts.predictor import sample_archs
from tests.predictors.fakes import DEVICE, SPACE, archs
from tests.predictors.hungry import MB, Hungry, dying, hungry, refusing

on_linux = pytest.mark.skipif(not is_measurable(DEVICE), reason="needs Linux's /proc/self/clear_refs")


@on_linux
def test_peak_memory_is_what_the_network_holds_and_what_its_run_takes() -> None:
    found = run_peak_memory_bytes(partial(hungry, 24 * MB, 16 * MB))
    assert 39 * MB <= found <= 42 * MB


@on_linux
@pytest.mark.parametrize(("network", "message"), [(dying, "exit code 7"), (refusing, "no kernel for it")])
def test_a_process_that_dies_or_refuses_is_an_error_and_no_figure(network: object, message: str) -> None:
    with pytest.raises(UnsupportedModelError, match=message):
        run_peak_memory_bytes(network)  # type: ignore[arg-type]


def zone(root: Path, name: str, label: str, energy_uj: int, range_uj: int = 1000) -> Path:
    folder = root / name
    folder.mkdir()
    for file, value in (("name", label), ("energy_uj", energy_uj), ("max_energy_range_uj", range_uj)):
        (folder / file).write_text(f"{value}\n")
    return folder


def test_a_rapl_counter_is_followed_through_its_wrap(tmp_path: Path) -> None:
    folder = zone(tmp_path, "intel-rapl:0", "package-0", 900)
    counter = RaplCounter(folder)
    (folder / "energy_uj").write_text("950\n")
    assert counter.read_mj() == pytest.approx(0.05)
    (folder / "energy_uj").write_text("20\n")
    assert counter.read_mj() == pytest.approx(0.12)


def test_only_whole_packages_count_and_all_of_them(tmp_path: Path) -> None:
    assert counters_of(DEVICE, powercap=tmp_path / "none") == []
    zone(tmp_path, "intel-rapl:0", "package-0", 5)
    zone(tmp_path, "intel-rapl:1", "package-1", 5)
    zone(tmp_path, "intel-rapl:0:0", "core", 5)
    zone(tmp_path, "intel-rapl:2", "psys", 5)
    assert len(counters_of(DEVICE, powercap=tmp_path)) == 2
    (tmp_path / "intel-rapl:1" / "energy_uj").unlink()
    assert counters_of(DEVICE, powercap=tmp_path) == []
    assert counters_of(replace(DEVICE, runtime="cuda"), powercap=tmp_path) == []


class Draws:
    """A counter that a network drives: so many mJ a run."""

    def __init__(self, net: Hungry, mj: float) -> None:
        self.net, self.mj = net, mj

    def read_mj(self) -> float:
        return self.mj * self.net.runs


def test_energy_is_that_of_one_run_of_many_and_absent_without_a_counter_that_moves() -> None:
    net = Hungry(1, 1)
    times = iter(range(100))
    found = energy_per_run_mj(net, [Draws(net, 2.0), Draws(net, 0.5)], seconds=20, clock=lambda: next(times))
    assert found == pytest.approx(2.5)
    assert net.runs > 15
    assert energy_per_run_mj(net, [], seconds=0) is None
    assert energy_per_run_mj(net, [Draws(net, 0.0)], seconds=0) is None
    with pytest.raises(InvalidValueError, match="seconds"):
        energy_per_run_mj(net, [], seconds=-1)


def a_campaign(n: int = 3) -> Campaign:
    return Campaign(tuple(LatencySample(arch, DEVICE, (1.0,), (1.0,)) for arch in archs(n)))


def test_what_cannot_be_measured_is_absent_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "counters_of", lambda device: [])
    monkeypatch.setattr(measured, "is_measurable", lambda device: False)
    campaign = a_campaign()
    assert with_quantities(campaign, {}, DEVICE, MeasurementProtocol()) == campaign
    found = with_quantities(campaign, {}, DEVICE, MeasurementProtocol(memory=True, energy=True))
    assert found.samples == campaign.samples
    assert [note.partition(":")[0] for note in found.notes] == ["energy", "peak memory"]


def test_quantities_are_added_to_every_sample_that_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def peak(network: object) -> int:
        if network is networks[archs(3)[1]]:
            raise UnsupportedModelError("peak memory: took too long")
        return 4096

    nets = [Hungry(1, 1) for _ in range(3)]
    networks = {arch: partial(nullcontext, net) for arch, net in zip(archs(3), nets, strict=True)}
    monkeypatch.setattr(measured, "is_measurable", lambda device: True)
    monkeypatch.setattr(measured, "run_peak_memory_bytes", peak)
    monkeypatch.setattr(measured, "counters_of", lambda device: [Draws(nets[0], 3.0)])
    monkeypatch.setattr(measured, "energy_per_run_mj", partial(energy_per_run_mj, seconds=0))
    seen: list[ProfileProgress] = []
    protocol = MeasurementProtocol(memory=True, energy=True)
    found = with_quantities(a_campaign(), networks, DEVICE, protocol, seen.append)
    assert [s.quantities.run_peak_memory_bytes for s in found.samples] == [4096, None, 4096]
    assert [s.quantities.energy_mj for s in found.samples] == [pytest.approx(3.0), None, None]
    assert found.notes == (f"arch {archs(3)[1].key}: peak memory: took too long",)
    assert seen[-1] == ProfileProgress(3, 3)
    with pytest.raises(MeasurementStoppedError, match="0 of 3"):
        with_quantities(a_campaign(), networks, DEVICE, protocol, should_stop=lambda: True)


def test_the_size_of_a_file_is_known_where_there_is_one() -> None:
    model = reference_nets()[0]
    assert file_size(OnnxSession(model)) == len(model)
    assert file_size(Hungry(1, 1)) is None


def samples_with_memory(n: int) -> list[LatencySample]:
    """Peak memory as two measured runtimes had it: weights twice, what is alive, and noise of 3 %."""
    rng = np.random.default_rng(5)
    found = []
    for arch in sample_archs(SPACE, n, seed=3):
        costs = cost(SPACE.decode(arch), in_channels=3, n_classes=10)
        peak = (4 * costs.params + costs.peak_memory_bytes) * rng.normal(1, 0.03)
        found.append(LatencySample(arch, DEVICE, (1.0,), (1.0,), Quantities(None, round(peak), None)))
    return found


def test_peak_memory_is_fitted_by_the_code_that_fits_latency(tmp_path: Path) -> None:
    samples = samples_with_memory(50)
    predictor = LatencyPredictor(SPACE, DEVICE, "run_peak_memory_bytes")
    predictor.fit_samples(samples[:19])
    held_out = [sample.arch for sample in samples[19:]]
    found = predictor.predict(held_out)
    true = np.array([sample.quantities.run_peak_memory_bytes for sample in samples[19:]])
    assert np.corrcoef(found.mean, true)[0, 1] > 0.8
    assert np.mean((found.low <= true) & (true <= found.high)) > 0.7
    predictor.save(tmp_path)
    again = load_latency(tmp_path, SPACE)
    assert again.metric == "run_peak_memory_bytes"
    assert np.array_equal(again.predict(held_out).mean, found.mean)


def test_a_metric_that_was_not_measured_is_not_fitted() -> None:
    predictor = LatencyPredictor(SPACE, Device("fake", "none", "fake", "1"), "energy_mj")
    with pytest.raises(InvalidValueError, match="energy_mj was not measured"):
        predictor.fit_samples(samples_with_memory(6))
