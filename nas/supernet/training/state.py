"""Optimiser, weight average and their state on disk."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nas.errors import CheckpointError
from nas.supernet.checkpoint import read_checkpoint, supernet_header, write_checkpoint
from nas.supernet.config import TrainConfig
from nas.supernet.supernet import Supernet

NAME = "training"
EXTRA = "extra:"  # begins the names of tensors that are not the supernet's
NO_DECAY = ("log_a", "step_bias")  # time constants of the SSM blocks
UNCHECKED = ("threads", "checkpoint_seconds", "device")  # may differ when training is resumed


class TrainingState:
    """AdamW over a supernet, the exponential moving average of its weights, and both on disk.

    ``extra`` holds what is trained beside the supernet, and tensors to be kept as they are.
    """

    def __init__(
        self,
        supernet: Supernet,
        config: TrainConfig,
        *,
        data_digest: str,
        extra: nn.Module | None = None,
    ) -> None:
        self.supernet = supernet
        self.extra = nn.Module() if extra is None else extra
        self.config = config
        self.data_digest = data_digest
        every = {
            **dict(supernet.named_parameters()),
            **{f"{EXTRA}{name}": p for name, p in self.extra.named_parameters()},
        }
        trained = {name: p for name, p in every.items() if p.requires_grad}
        self.names, self.parameters = list(trained), list(trained.values())
        self.average = [p.detach().clone() for p in self.parameters]
        self.updates = 0
        decayed = [
            p.ndim > 1 and not name.endswith(NO_DECAY)
            for name, p in zip(self.names, self.parameters, strict=True)
        ]
        groups = [
            {
                "params": [p for p, d in zip(self.parameters, decayed, strict=True) if d is decay],
                "weight_decay": config.weight_decay if decay else 0.0,
            }
            for decay in (True, False)
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.99), fused=True)

    def update(self, lr: float) -> None:
        """One optimiser step from the gradients at hand, which are cleared, and one of the average."""
        nn.utils.clip_grad_norm_(self.parameters, self.config.grad_clip)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.updates += 1
        # A young average follows the weights closely, or it would remember their random start.
        decay = min(self.config.ema_decay, self.updates / (10 + self.updates))
        with torch.no_grad():
            for mean, parameter in zip(self.average, self.parameters, strict=True):
                mean.lerp_(parameter, 1 - decay)

    def restart_average(self) -> None:
        """Forget the average: the weights have been changed from outside."""
        self.updates = 0

    def averaged(self) -> Supernet:
        """A copy of the supernet with the averaged weights, on the CPU."""
        clone = copy.deepcopy(self.supernet, {id(self.supernet.space): self.supernet.space})
        parameters = dict(clone.named_parameters())
        with torch.no_grad():
            for name, mean in zip(self.names, self.average, strict=True):
                if not name.startswith(EXTRA):
                    parameters[name].copy_(mean)
        return clone.cpu()

    def save(self, folder: Path, step: int, memory: Mapping[str, Any]) -> None:
        """Write the state after ``step`` steps; ``memory`` is what the learner keeps, as JSON."""
        tensors: dict[str, Tensor] = {
            f"model.{name}": tensor for name, tensor in self.supernet.state_dict().items()
        }
        tensors |= {f"{EXTRA}{name}": tensor for name, tensor in self.extra.state_dict().items()}
        for name, parameter, mean in zip(self.names, self.parameters, self.average, strict=True):
            tensors[f"average.{name}"] = mean
            for key, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{key}.{name}"] = value
        counters = {"step": step, "updates": self.updates, "memory": dict(memory)}
        write_checkpoint(folder, NAME, tensors, {**self._identity(), **counters})

    def load(self, folder: Path) -> tuple[int, Mapping[str, Any]]:
        """Restore the state in ``folder``; its step and the learner's memory, or 0 and {} if there is none.

        Raises CheckpointError naming both sides if the state is another run's.
        """
        path = folder / f"{NAME}.json"
        if not path.exists():
            return 0, {}
        tensors, header = read_checkpoint(folder, NAME)
        # A setting that the state does not know yet had its default.
        header["config"] = {**_settings(TrainConfig()), **header.get("config", {})}
        for key, mine in self._identity().items():
            if header.get(key) != mine:
                raise CheckpointError(f"{path}: {key} was {header.get(key)!r}, this run has {mine!r}")
        self.supernet.load_state_dict(_under("model.", tensors))
        self.extra.load_state_dict(_under(EXTRA, tensors))
        averages = _under("average.", tensors)
        for name, parameter, mean in zip(self.names, self.parameters, self.average, strict=True):
            mean.copy_(averages[name])
            moments = {
                key: tensors[f"optimizer.{key}.{name}"].to(parameter.device if key != "step" else "cpu")
                for key in ("step", "exp_avg", "exp_avg_sq")
                if f"optimizer.{key}.{name}" in tensors
            }
            if moments:
                self.optimizer.state[parameter] = moments
        self.updates = int(header["updates"])
        return int(header["step"]), header.get("memory", {})

    def discard(self, folder: Path) -> None:
        """Remove the state: training is complete."""
        (folder / f"{NAME}.json").unlink(missing_ok=True)
        for file in folder.glob(f"{NAME}-*.safetensors"):
            file.unlink()

    def _identity(self) -> dict[str, Any]:
        identity = {"data_digest": self.data_digest, "config": _settings(self.config)}
        return {**supernet_header(self.supernet), **identity}


def _settings(config: TrainConfig) -> dict[str, Any]:
    return {key: value for key, value in asdict(config).items() if key not in UNCHECKED}


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
