"""Two processes train as one would: equal weights, one checkpoint, exact continuation."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nas.data.load import ImageData, load_data
from nas.distributed import train_distributed
from nas.errors import CheckpointError, ConfigError
from nas.supernet.checkpoint import load_supernet
from nas.supernet.config import TrainConfig
from nas.supernet.supernet import Supernet
from nas.supernet.train import TrainingRun, train
from nas.supernet.training.replica import Replica
from searchspaces.registry import get_space

WORLD = 2
CONFIG = TrainConfig(epochs=1, batch_size=64, mode="tree", sampler="least_trained", threads=1)


@pytest.fixture(scope="module")
def data() -> ImageData:
    return load_data("digits", limit=256)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As the workers have: sums in another order grow apart under AdamW."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def fresh() -> Supernet:
    torch.manual_seed(0)
    return Supernet(get_space("hybrid-tiny-r8"), n_classes=10, in_channels=1)


def reference(data: ImageData, folder: Path) -> dict[str, torch.Tensor]:
    """One process that runs both shares in turn and averages their gradients: no Ray, no DDP."""
    supernet = fresh()
    runs = [TrainingRun(supernet, data, CONFIG, folder, Replica(rank, WORLD)) for rank in range(WORLD)]
    for step in range(runs[0].steps):
        supernet.train()
        for run in runs:
            images, labels = run.batch(step)
            run.learner.step(step, images, labels)
        for parameter in runs[0].state.parameters:
            if parameter.grad is not None:
                parameter.grad /= WORLD
        runs[0].state.update(CONFIG.lr_at(step, runs[0].steps))
    return dict(runs[0].state.averaged().named_parameters())


def stop_after(n: int):
    calls = iter(range(n + 1))
    return lambda: next(calls, n) >= n


@pytest.mark.parametrize("workers", [0, 65])
def test_the_number_of_processes_must_fit(data, tmp_path, workers):
    with pytest.raises(ConfigError, match=r"workers must lie in 1\.\.64"):
        train_distributed(fresh(), data, CONFIG, folder=tmp_path, workers=workers)


def test_another_run_is_refused_before_anything_starts(data, tmp_path):
    train(fresh(), data, replace(CONFIG, lr=1e-3), folder=tmp_path, should_stop=stop_after(1))
    with pytest.raises(CheckpointError, match="config was"):
        train_distributed(fresh(), data, CONFIG, folder=tmp_path, workers=WORLD)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.filterwarnings("ignore:.*is deprecated")  # Ray warns of its own defaults
@pytest.mark.ray
@pytest.mark.usefixtures("one_thread")
def test_two_processes_end_where_one_does_and_continue_what_it_began(data, tmp_path):
    progress = []
    whole = fresh()
    options = {"config": CONFIG, "workers": WORLD}
    result = train_distributed(whole, data, folder=tmp_path / "whole", report=progress.append, **options)
    assert result.completed
    assert sorted(p.suffix for p in (tmp_path / "whole").iterdir()) == [".json", ".safetensors"]
    expected = reference(data, tmp_path / "none")
    for name, parameter in whole.named_parameters():
        torch.testing.assert_close(
            parameter.detach(), expected[name].detach(), rtol=1e-3, atol=1e-5, msg=name
        )

    stopped = train_distributed(fresh(), data, folder=tmp_path / "parts", should_stop=lambda: True, **options)
    assert (stopped.completed, stopped.step) == (False, 1)
    assert train_distributed(fresh(), data, folder=tmp_path / "parts", **options).completed
    first, second = (load_supernet(tmp_path / part).state_dict() for part in ("whole", "parts"))
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name
