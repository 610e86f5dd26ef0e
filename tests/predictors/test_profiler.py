from __future__ import annotations

import gc
from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from predictors.errors import (
    ImplausibleTimesError,
    InvalidValueError,
    MeasurementStoppedError,
    UnstableMeasurementError,
    UnsupportedModelError,
)
from predictors.profiler import MeasurementProtocol, ProfileProgress, profile, run_campaign
from predictors.references.modules import reference_candidates
from predictors.references.onnx_models import reference_nets
from predictors.runtimes.eager import EagerRuntime
from predictors.runtimes.onnx_session import OnnxSession
from searchspaces.space import Arch
from tests.predictors.fakes import DEVICE, FakeNet, FakeRuntime, archs, candidates, steady

QUICK = MeasurementProtocol(seconds=0, passes=6)


def test_times_are_those_of_single_runs_in_ms() -> None:
    runtime = FakeRuntime(wall_over_cpu=1.5)
    campaign = run_campaign(
        runtime, DEVICE, candidates([steady(2.0), steady(5.0)]), QUICK, clock=runtime.time.clock
    )
    assert [sample.arch for sample in campaign.samples] == archs(2)
    assert [sample.cpu_ms for sample in campaign.samples] == [(2.0,) * 6, (5.0,) * 6]
    assert [sample.wall_ms for sample in campaign.samples] == [(3.0,) * 6, (7.5,) * 6]
    assert campaign.wall_over_cpu == pytest.approx(1.5)


def test_warm_up_and_settling_are_not_timed() -> None:
    runtime = FakeRuntime()
    protocol = MeasurementProtocol(seconds=0, warmup=3, settle=2, passes=4, repeat_fraction=0.0, rounds=1)
    # Runs 0 to 2 warm up; then two runs settle and every third one is timed.
    slow_unless_timed = candidates([lambda run: 1.0 if run >= 3 and (run - 3) % 3 == 2 else 100.0])
    campaign = run_campaign(runtime, DEVICE, slow_unless_timed, protocol, clock=runtime.time.clock)
    assert campaign.samples[0].cpu_ms == (1.0,) * 4


def test_a_round_lasts_as_long_as_asked() -> None:
    runtime = FakeRuntime()
    protocol = MeasurementProtocol(seconds=0.5, warmup=1, passes=4, repeat_fraction=0.0, rounds=1)
    began = runtime.time.clock.wall_ns()
    campaign = run_campaign(
        runtime, DEVICE, candidates([steady(1.0), steady(3.0)]), protocol, clock=runtime.time.clock
    )
    assert 0.5e9 <= runtime.time.clock.wall_ns() - began <= 0.6e9
    assert [sample.cpu_ms for sample in campaign.samples] == [(1.0,) * 4, (3.0,) * 4]


def test_every_pass_visits_every_network_once_in_its_own_order() -> None:
    runtime = FakeRuntime()
    protocol = MeasurementProtocol(seconds=0, warmup=1, settle=0, passes=5, repeat_fraction=0.0, rounds=1)
    run_campaign(runtime, DEVICE, candidates([steady(1.0)] * 12), protocol, clock=runtime.time.clock)
    passes = [tuple(map(id, runtime.log[12 * i : 12 * (i + 1)])) for i in range(1, 6)]
    assert all(len(set(order)) == 12 for order in passes)
    assert len(set(passes)) == 5


def test_the_seed_fixes_order_and_repeats() -> None:
    def orders(seed: int) -> list[int]:
        runtime, nets = FakeRuntime(), candidates([steady(i + 1.0) for i in range(10)])
        protocol = MeasurementProtocol(seconds=0, passes=3, seed=seed, repeat_fraction=0.3, rounds=1)
        run_campaign(runtime, DEVICE, nets, protocol, clock=runtime.time.clock)
        index = {id(net): i for i, (net, _) in enumerate(nets.values())}
        return [index[id(net)] for net in runtime.log]

    assert orders(1) == orders(1)
    assert orders(1) != orders(2)


def test_a_share_of_the_networks_is_measured_twice() -> None:
    runtime = FakeRuntime()
    nets = candidates([steady(i + 1.0) for i in range(21)])
    campaign = run_campaign(runtime, DEVICE, nets, QUICK, clock=runtime.time.clock)
    assert len(campaign.repeats) == 3
    times = {sample.arch: sample.cpu_ms for sample in campaign.samples}
    assert all(times[repeat.arch] == repeat.cpu_ms for repeat in campaign.repeats)
    assert Counter(len(sample.cpu_ms) for sample in campaign.samples) == {6: 21}
    assert campaign.self_spearman == pytest.approx(1.0)


def noisy(seed: int, runs_before_calm: int) -> object:
    """Twenty networks of 1 to 2.9 ms whose level is random in each timing until they calm down."""
    rngs = [np.random.default_rng([seed, i]) for i in range(20)]

    def net(i: int) -> object:
        return lambda run: (1 + i / 10) * (rngs[i].lognormal(0, 1.0) if run < runs_before_calm else 1.0)

    return candidates([net(i) for i in range(20)])  # type: ignore[misc]


def test_an_unstable_campaign_is_prolonged_and_then_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = FakeRuntime()
    protocol = MeasurementProtocol(seconds=0, passes=3, repeat_fraction=1.0, rounds=2)
    campaign = run_campaign(runtime, DEVICE, noisy(0, 10**9), protocol, clock=runtime.time.clock)
    assert Counter(len(sample.cpu_ms) for sample in campaign.samples) == {6: 20}
    monkeypatch.setattr("predictors.profiler.run_campaign", lambda *_, **__: campaign)
    with pytest.raises(UnstableMeasurementError, match=r"networks measured twice differ"):
        profile(runtime, DEVICE, {}, protocol)


def test_more_passes_can_save_a_campaign() -> None:
    runtime = FakeRuntime()
    protocol = MeasurementProtocol(seconds=0, passes=4, settle=0, warmup=1, repeat_fraction=0.2, rounds=9)
    # Both sessions of a network share its runs: noise ends somewhere in the second round.
    campaign = run_campaign(runtime, DEVICE, noisy(3, 6), protocol, clock=runtime.time.clock)
    lengths = {len(sample.cpu_ms) for sample in campaign.samples}
    assert lengths < {8, 12, 16, 20, 24, 28, 32}
    assert campaign.self_spearman is not None
    assert campaign.self_spearman >= 0.99


def test_networks_that_cannot_run_are_reported_and_the_rest_is_measured() -> None:
    runtime, nets = FakeRuntime(), candidates([steady(1.0)] * 3)
    bad = archs(4)[3]
    nets[bad] = (nn.Identity(), torch.zeros(1))
    protocol = MeasurementProtocol(seconds=0, passes=2, repeat_fraction=1.0, rounds=1)
    campaign = run_campaign(runtime, DEVICE, nets, protocol, clock=runtime.time.clock)
    assert campaign.failures == {bad: "not a fake"}
    assert [s.arch for s in campaign.samples] == [s.arch for s in campaign.repeats] == archs(3)
    with pytest.raises(UnsupportedModelError, match=f"{bad.key} on fake: not a fake"):
        profile(FakeRuntime(), DEVICE, nets, protocol)


def test_progress_rises_to_its_total() -> None:
    seen: list[ProfileProgress] = []
    runtime = FakeRuntime()
    run_campaign(runtime, DEVICE, candidates([steady(1.0)] * 3), QUICK, seen.append, clock=runtime.time.clock)
    done = [progress.done for progress in seen]
    assert done == sorted(set(done))
    assert seen[-1].done == seen[-1].total


def test_stopping_keeps_nothing_and_restores_the_garbage_collector() -> None:
    seen: list[ProfileProgress] = []
    with pytest.raises(MeasurementStoppedError, match="stopped after 7 of"):
        run_campaign(
            FakeRuntime(),
            DEVICE,
            candidates([steady(1.0)] * 3),
            QUICK,
            seen.append,
            should_stop=lambda: len(seen) == 7,
        )
    assert gc.isenabled()


def test_the_garbage_collector_is_off_while_timing() -> None:
    states: list[bool] = []

    def ms(run: int) -> float:
        states.append(gc.isenabled())
        return 1.0

    runtime = FakeRuntime()
    protocol = MeasurementProtocol(seconds=0, warmup=2, settle=0, passes=3, repeat_fraction=0.0, rounds=1)
    run_campaign(runtime, DEVICE, candidates([ms]), protocol, clock=runtime.time.clock)
    assert states == [True, True, False, False, False]


def test_no_candidates_make_an_empty_campaign() -> None:
    campaign = run_campaign(FakeRuntime(), DEVICE, {}, QUICK)
    assert campaign.samples == ()
    assert campaign.self_spearman is None


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("passes", 0),
        ("warmup", 0),
        ("rounds", 0),
        ("settle", -1),
        ("repeat_fraction", 1.5),
        ("seconds", -1.0),
    ],
)
def test_settings_out_of_range_are_named(setting: str, value: float) -> None:
    with pytest.raises(InvalidValueError, match=f"{setting} must .* got {value}"):
        MeasurementProtocol(**{setting: value})  # type: ignore[arg-type]


def test_real_networks_are_ranked_by_their_size() -> None:
    runtime = EagerRuntime()
    images = torch.rand(1, 16, 32, 32)
    nets = {
        arch: (nn.Sequential(*[nn.Conv2d(16, 16, 3, 1, 1) for _ in range(depth)]).eval(), images)
        for arch, depth in zip(archs(3), (24, 2, 8), strict=True)
    }
    protocol = MeasurementProtocol(seconds=0, passes=9, repeat_fraction=0.0)
    samples = profile(runtime, runtime.device(), nets, protocol)
    assert np.argsort([sample.latency_ms for sample in samples]).tolist() == [1, 2, 0]


@pytest.mark.parametrize(("ms", "wall_over_cpu"), [(0.0, 1.0), (1e-6, 1.0), (5.0, 0.5), (4e6, 1.0)])
def test_times_that_cannot_be_are_refused_here_too(ms: float, wall_over_cpu: float) -> None:
    runtime = FakeRuntime(wall_over_cpu=wall_over_cpu)
    nets = candidates([steady(1.0 * wall_over_cpu), steady(ms)]) if ms < 1 else candidates([steady(ms)] * 2)
    protocol = MeasurementProtocol(seconds=0, passes=2, repeat_fraction=1.0, rounds=1)
    with pytest.raises(ImplausibleTimesError, match="absurd"):
        run_campaign(runtime, DEVICE, nets, protocol, clock=runtime.time.clock)


def test_reference_networks_run_in_the_same_rotation_and_are_no_samples() -> None:
    runtime, nets = FakeRuntime(), candidates([steady(1.0), steady(2.0)])
    references = {Arch("reference@1", (0,)): (FakeNet(steady(7.0)), torch.zeros(1))}
    campaign = run_campaign(runtime, DEVICE, nets, QUICK, references=references, clock=runtime.time.clock)
    assert [sample.arch for sample in campaign.samples] == archs(2)
    assert [sample.cpu_ms for sample in campaign.references] == [(7.0,) * 6]
    assert [sample.arch for sample in campaign.repeats] == [campaign.repeats[0].arch]


def test_the_reference_networks_are_the_same_in_torch_and_in_onnx() -> None:
    for model, (module, images) in zip(reference_nets(), reference_candidates().values(), strict=True):
        with torch.inference_mode():
            expected = module(images).numpy()
        assert np.allclose(OnnxSession(model).outputs(images.numpy()), expected, atol=1e-5)
