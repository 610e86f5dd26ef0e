"""What every runtime must do; subclass with a ``runtime`` fixture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from predictors.errors import InvalidValueError
from predictors.runtimes.registry import get_runtime
from predictors.runtimes.runtime import Runtime


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


class RuntimeContract:
    @pytest.fixture
    def runtime(self) -> Runtime:
        raise NotImplementedError

    def test_outputs_equal_the_module(self, runtime: Runtime) -> None:
        module, images = small_net(), torch.rand(2, 3, 9, 9)
        session = runtime.load(module, torch.zeros(2, 3, 9, 9))
        with torch.no_grad():
            expected = module(images).numpy()
        np.testing.assert_allclose(session.outputs(images.numpy()), expected, atol=1e-5)

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
