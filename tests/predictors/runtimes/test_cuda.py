from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import Tensor

from predictors.errors import UnknownRuntimeError
from predictors.profiler import MeasurementProtocol, run_campaign
from predictors.runtimes.cuda.eager import CudaRuntime
from predictors.runtimes.cuda.gpu import driver_version, single_precision
from predictors.runtimes.cuda.graph import CudaGraphRuntime
from predictors.runtimes.registry import get_runtime
from predictors.runtimes.runtime import Runtime
from searchspaces.registry import get_space
from tests.contracts.runtime import RuntimeContract, small_net

HAS_GPU = torch.cuda.is_available()
SPACE = get_space("hybrid-tiny")


@dataclass
class StandInGpu:
    """Does on the CPU what is asked of a GPU, and takes 1.5 ms for everything."""

    name: str = "Stand-in 100"
    driver: str = "1.2.3"
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    calls: list[str] = field(default_factory=list)

    def timed(self, work: Callable[[], object]) -> float:
        self.calls.append("timed")
        work()
        return 1.5

    def captured(self, work: Callable[[], Tensor]) -> tuple[Callable[[], object], Tensor]:
        self.calls.append("captured")
        filled = work().clone()

        def replay() -> None:
            self.calls.append("replayed")
            filled.copy_(work())

        return replay, filled


class StandInContract(RuntimeContract):
    def test_the_registry_knows_it(self, runtime: Runtime) -> None:
        if HAS_GPU:
            assert type(get_runtime(runtime.name)) is type(runtime)
        else:
            with pytest.raises(UnknownRuntimeError, match=f"runtime '{runtime.name}' needs"):
                get_runtime(runtime.name)


class TestCudaOverAStandIn(StandInContract):
    @pytest.fixture
    def runtime(self) -> Runtime:
        return CudaRuntime(StandInGpu())


class TestCudaGraphOverAStandIn(StandInContract):
    @pytest.fixture
    def runtime(self) -> Runtime:
        return CudaGraphRuntime(StandInGpu())


@pytest.mark.skipif(not HAS_GPU, reason="there is no CUDA device")
class TestCuda(RuntimeContract):
    @pytest.fixture
    def runtime(self) -> Runtime:
        return get_runtime("cuda")


@pytest.mark.skipif(not HAS_GPU, reason="there is no CUDA device")
class TestCudaGraph(RuntimeContract):
    @pytest.fixture
    def runtime(self) -> Runtime:
        return get_runtime("cuda-graph")


def test_a_graph_is_captured_once_and_then_replayed() -> None:
    gpu = StandInGpu()
    session = CudaGraphRuntime(gpu).load(small_net(), torch.rand(1, 3, 8, 8))
    for _ in range(2):
        session.run()
    assert gpu.calls == ["captured", "timed", "replayed", "timed", "replayed"]


@pytest.mark.parametrize("kind", [CudaRuntime, CudaGraphRuntime])
def test_outputs_of_two_inputs_are_two_arrays(kind: type[CudaRuntime]) -> None:
    session = kind(StandInGpu()).load(small_net(), torch.rand(1, 3, 8, 8))
    first = session.outputs(np.zeros((1, 3, 8, 8), dtype=np.float32))
    kept = first.copy()
    session.outputs(np.ones((1, 3, 8, 8), dtype=np.float32))
    np.testing.assert_array_equal(first, kept)


def test_the_gpu_and_its_driver_are_in_the_fingerprint() -> None:
    devices = [
        CudaRuntime(gpu).device("here")
        for gpu in (StandInGpu(), StandInGpu(name="Stand-in 200"), StandInGpu(driver="1.2.4"))
    ]
    assert devices[0].hardware.startswith("Stand-in 100 in ")
    assert "driver1.2.3" in devices[0].runtime_version
    assert len({device.fingerprint for device in devices}) == 3
    assert CudaGraphRuntime(StandInGpu()).device("here").fingerprint != devices[0].fingerprint


def test_latency_is_that_of_the_clock_of_the_gpu() -> None:
    runtime = CudaRuntime(StandInGpu())
    archs = [SPACE.extreme(largest=False), SPACE.extreme(largest=True)]
    candidates = {arch: (small_net(), torch.rand(1, 3, 8, 8)) for arch in archs}
    protocol = MeasurementProtocol(warmup=1, passes=2, repeat_fraction=0.0, rounds=1, seconds=0.0)
    campaign = run_campaign(runtime, runtime.device(), candidates, protocol)
    assert runtime.device().clock == "wall"
    assert [sample.wall_ms for sample in campaign.samples] == [(1.5, 1.5)] * 2
    assert [sample.latency_ms for sample in campaign.samples] == [1.5, 1.5]


def test_single_precision_is_in_force_only_within() -> None:
    conv = torch.backends.cudnn.conv
    before = conv.fp32_precision
    with single_precision():
        assert conv.fp32_precision == "ieee"
    assert conv.fp32_precision == before


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024",
            "550.54.15",
        ),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.10  Release Build", "570.86.10"),
    ],
)
def test_the_driver_says_its_version(text: str, expected: str) -> None:
    assert driver_version(text) == expected


def test_a_driver_without_a_version_is_refused() -> None:
    with pytest.raises(UnknownRuntimeError, match="names no driver version"):
        driver_version("nothing of use")
