"""What every runtime must do; subclass with a ``runtime`` fixture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from predictors.errors import InvalidValueError, UnsupportedModelError
from predictors.runtimes.agreement import relative_error
from predictors.runtimes.registry import get_runtime
from predictors.runtimes.runtime import Runtime, Session

THREAD_TIMES = Path("/proc/self/task")  # one folder per thread; schedstat begins with its CPU time in ns


def small_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    ).eval()


def wide_net() -> nn.Module:
    """Some milliseconds of work that splits well."""
    torch.manual_seed(0)
    layers = [layer for _ in range(3) for layer in (nn.Conv2d(64, 64, 3, padding=1), nn.ReLU())]
    return nn.Sequential(
        nn.Conv2d(3, 64, 3, padding=1), *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 5)
    ).eval()


class Odd(nn.Module):
    """An operator that hardly any library has."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.special.bessel_j0(x).mean((2, 3))


def busy_threads(session: Session, least: int) -> int:
    """How many threads of this process did at least a hundredth of the session's work.

    On a busy machine a second worker may long find nothing left to do: it is given time to, if there
    is to be one.
    """
    session.run()
    before, busy = _thread_times(), 0
    for _ in range(20):
        for _ in range(20):
            session.run()
        spent = {thread: time - before.get(thread, 0) for thread, time in _thread_times().items()}
        busy = sum(time > 0.01 * sum(spent.values()) for time in spent.values())
        if busy >= least:
            break
    return busy


def _thread_times() -> dict[str, int]:
    return {
        folder.name: int((folder / "schedstat").read_text().split()[0]) for folder in THREAD_TIMES.iterdir()
    }


class RuntimeContract:
    @pytest.fixture
    def runtime(self) -> Runtime:
        raise NotImplementedError

    def test_outputs_equal_the_module(self, runtime: Runtime) -> None:
        module, images = small_net(), torch.rand(2, 3, 9, 9)
        session = runtime.load(module, torch.rand(2, 3, 9, 9))
        with torch.no_grad():
            expected = module(images).numpy()
        assert relative_error(session.outputs(images.numpy()), expected) <= runtime.tolerance

    def test_an_operator_that_it_lacks_is_refused_by_name(self, runtime: Runtime) -> None:
        module, images = Odd().eval(), torch.rand(1, 3, 8, 8)
        has_it = runtime.operators is None or any("bessel_j0" in name for name in runtime.operators)
        if has_it:
            found = runtime.load(module, images).outputs(images.numpy())
            assert relative_error(found, module(images).numpy()) <= runtime.tolerance
        else:
            with pytest.raises(UnsupportedModelError, match="bessel_j0"):
                runtime.load(module, images)

    @pytest.mark.skipif(not THREAD_TIMES.is_dir(), reason="the threads' CPU times are not known here")
    @pytest.mark.parametrize("threads", [1, 2])
    def test_as_many_threads_work_as_were_asked_for(self, runtime: Runtime, threads: int) -> None:
        with runtime.limit_threads(threads):
            session = runtime.load(wide_net(), torch.rand(1, 3, 48, 48), threads=threads)
            assert busy_threads(session, least=threads) == threads

    def test_a_session_keeps_its_weights_when_the_module_changes(self, runtime: Runtime) -> None:
        module, images = small_net(), np.ones((1, 3, 8, 8), dtype=np.float32)
        session = runtime.load(module, torch.zeros(1, 3, 8, 8))
        before = session.outputs(images)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.zero_()
        np.testing.assert_array_equal(session.outputs(images), before)

    def test_run_leaves_no_trace(self, runtime: Runtime) -> None:
        session = runtime.load(small_net(), torch.rand(1, 3, 8, 8))
        images = np.ones((1, 3, 8, 8), dtype=np.float32)
        before = session.outputs(images)
        session.run()
        np.testing.assert_array_equal(session.outputs(images), before)

    def test_load_leaves_the_module_as_it_was(self, runtime: Runtime) -> None:
        module = small_net()
        before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
        runtime.load(module, torch.rand(1, 3, 8, 8)).run()
        after = module.state_dict()
        assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
        assert all(p.requires_grad for p in module.parameters())

    def test_train_mode_is_refused(self, runtime: Runtime) -> None:
        with pytest.raises(InvalidValueError, match="train mode"):
            runtime.load(small_net().train(), torch.rand(1, 3, 8, 8))

    def test_the_device_records_what_changes_times(self, runtime: Runtime) -> None:
        device = runtime.device("here")
        assert (device.name, device.runtime, device.runtime_version) == (
            "here",
            runtime.name,
            runtime.version,
        )
        fingerprints = {
            device.fingerprint,
            runtime.device(threads=2).fingerprint,
            runtime.device(batch_size=8).fingerprint,
        }
        assert len(fingerprints) == 3
        assert runtime.device("elsewhere").fingerprint == device.fingerprint

    @pytest.mark.parametrize("setting", ["threads", "batch_size"])
    def test_less_than_one_is_refused(self, runtime: Runtime, setting: str) -> None:
        with pytest.raises(InvalidValueError, match=f"{setting} must be at least 1; got 0"):
            runtime.device(**{setting: 0})

    def test_limiting_threads_is_undone(self, runtime: Runtime) -> None:
        before = torch.get_num_threads()
        with runtime.limit_threads(before + 1):
            runtime.load(small_net(), torch.rand(1, 3, 8, 8), threads=2).run()
        assert torch.get_num_threads() == before

    def test_the_registry_knows_it(self, runtime: Runtime) -> None:
        assert type(get_runtime(runtime.name)) is type(runtime)
