"""Train one supernet on several devices: DistributedDataParallel, started by Ray Train.

Every process draws the same subnets (they depend on seed and step alone), runs them on its own
rows of the batch and averages the gradients with the others. Batch norm normalises each process's
share by itself, as DistributedDataParallel does by default; the running statistics are those of
process 0. Only process 0 writes: one checkpoint, the same as of one process, which either number
of processes can continue.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
import torch
import torch.distributed as dist
from ray import train as ray_train
from ray.train import TrainingFailedError
from ray.train.torch import TorchConfig, TorchTrainer, get_device
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from nas.data.load import ImageData
from nas.errors import ConfigError, TrainingError
from nas.supernet.checkpoint import load_supernet
from nas.supernet.config import TrainConfig
from nas.supernet.supernet import Supernet
from nas.supernet.train import TrainingRun, TrainProgress, TrainResult
from nas.supernet.training.replica import Replica
from nas.supernet.training.state import TrainingState

POLL_SECONDS = 0.5


def train_distributed(
    supernet: Supernet,
    data: ImageData,
    config: TrainConfig,
    *,
    folder: Path,
    workers: int,
    gpus: bool = False,
    address: str | None = None,
    report: Callable[[TrainProgress], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> TrainResult:
    """As ``nas.supernet.train.train``, on ``workers`` processes; one GPU each with ``gpus``.

    ``batch_size`` is that of all processes together. A Ray that this process has started is used;
    otherwise one is started here or joined at ``address``, and left at the end. On several
    machines ``folder`` must be a path that all of them share. ``report`` is called every now and
    then from another thread.

    Raises ConfigError for a number of processes that does not fit, CheckpointError if the state in
    ``folder`` is another run's, both before anything starts; TrainingError when a process fails.
    """
    if not 1 <= workers <= config.batch_size:
        raise ConfigError(f"workers must lie in 1..{config.batch_size} (batch_size); got {workers}")
    TrainingState(supernet, config, data_digest=data.digest).load(folder)  # refuses before Ray starts
    with tempfile.TemporaryDirectory(prefix="nas-train-") as scratch:
        started = _start_ray(workers, gpus, address, Path(scratch))
        try:
            result = _fit(supernet, data, config, folder, workers, gpus, scratch, report, should_stop)
        finally:
            if started:
                ray.shutdown()
    if result.completed:
        supernet.load_state_dict(load_supernet(folder).state_dict())
    return result


class _Link:
    """What driver and process 0 tell each other: progress and result one way, the wish to stop the other."""

    def __init__(self) -> None:
        self.progress: TrainProgress | None = None
        self.stop = False
        self.result: TrainResult | None = None

    def finish(self, result: TrainResult) -> None:
        self.result = result

    def outcome(self) -> TrainResult | None:
        return self.result

    def tell(self, progress: TrainProgress) -> bool:
        self.progress = progress
        return self.stop

    def ask(self, stop: bool) -> TrainProgress | None:
        self.stop = self.stop or stop
        return self.progress


def _start_ray(workers: int, gpus: bool, address: str | None, scratch: Path) -> bool:
    """Whether a Ray was started or joined here."""
    if ray.is_initialized():
        return False
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if address is None:
        options |= {
            "num_cpus": workers + 1,  # one for the trainer itself
            "num_gpus": workers if gpus else 0,
            "include_dashboard": False,
            "_temp_dir": str(scratch / "ray"),
        }
    ray.init(address or "local", **options)
    return True


def _fit(
    supernet: Supernet,
    data: ImageData,
    config: TrainConfig,
    folder: Path,
    workers: int,
    gpus: bool,
    scratch: str,
    report: Callable[[TrainProgress], None],
    should_stop: Callable[[], bool],
) -> TrainResult:
    link: Any = ray.remote(_Link).options(num_cpus=0).remote()
    setup = {
        "given": [ray.put((supernet.cpu(), data))],  # boxed: a bare reference would be resolved at once
        "config": config,
        "folder": str(folder.absolute()),
        "link": link,
    }
    trainer = TorchTrainer(
        _work,
        train_loop_config=setup,
        torch_config=TorchConfig(backend="nccl" if gpus else "gloo"),
        scaling_config=ray_train.ScalingConfig(num_workers=workers, use_gpu=gpus),
        run_config=ray_train.RunConfig(storage_path=scratch, name="train"),
    )
    ray.get(link.ask.remote(should_stop()))
    over = threading.Event()
    watch = threading.Thread(target=_watch, args=(link, over, report, should_stop), daemon=True)
    watch.start()
    try:
        trainer.fit()
    except TrainingFailedError as error:
        raise TrainingError(f"training on {workers} processes failed: {error}") from error
    finally:
        over.set()
        watch.join()
    result: TrainResult = ray.get(link.outcome.remote())
    return result


def _watch(
    link: Any,
    over: threading.Event,
    report: Callable[[TrainProgress], None],
    should_stop: Callable[[], bool],
) -> None:
    last = None
    while not over.wait(POLL_SECONDS):
        progress = ray.get(link.ask.remote(should_stop()))
        if progress is not None and progress != last:
            report(progress)
            last = progress


def _work(setup: dict[str, Any]) -> None:
    """One process of the training; all end with the same result, and process 0 hands it over."""
    supernet, data = ray.get(setup["given"][0])
    config: TrainConfig = setup["config"]
    device = get_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if config.threads:
        torch.set_num_threads(config.threads)
    context = ray_train.get_context()
    replica = data_parallel(context.get_world_rank(), context.get_world_size(), device)
    run = TrainingRun(supernet, data, config, Path(setup["folder"]), replica)
    stop = threading.Event()

    def tell(progress: TrainProgress) -> None:
        if replica.rank == 0 and ray.get(setup["link"].tell.remote(progress)):
            stop.set()

    result = run.train(tell, stop.is_set)
    if replica.rank == 0:
        ray.get(setup["link"].finish.remote(result))


def data_parallel(rank: int, world: int, device: torch.device) -> Replica:
    """The replica of a process in the process group that torch.distributed has been started with."""

    def wrap(module: nn.Module) -> nn.Module:
        # Every step runs other subnets, so most parameters are unused in any one step.
        return DistributedDataParallel(module, find_unused_parameters=True)

    def mean(value: Tensor) -> Tensor:
        total = value.detach().clone()
        dist.all_reduce(total)
        return total / world

    def agree(flag: bool) -> bool:
        shared = torch.tensor([int(flag)], device=device)
        dist.broadcast(shared, 0)
        return bool(shared.item())

    return Replica(rank, world, wrap, mean, agree)
