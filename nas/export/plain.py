"""The plain model of a package: model.py run in a namespace of its own, with its weights."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import safetensors
import torch
from safetensors.torch import save
from torch import nn

from nas.errors import ExportError
from nas.export.codegen import MODEL_FILE, WEIGHTS_FILE, model_source
from nas.supernet.extract import ExtractedSubnet


def write_plain(network: ExtractedSubnet, folder: Path, *, channels: int, n_classes: int) -> None:
    """Write model.py and model.safetensors (float32, the keys of the state dict)."""
    source = model_source(network, channels=channels, n_classes=n_classes)
    (folder / MODEL_FILE).write_text(source, encoding="utf-8")
    tensors = {name: tensor.detach().contiguous() for name, tensor in network.state_dict().items()}
    (folder / WEIGHTS_FILE).write_bytes(save(tensors, metadata={"format": "pt"}))


def load_plain(folder: Path) -> nn.Module:
    """``model.load(folder)``, in eval mode.

    Runs the code in model.py, so only for folders that are trusted. Nothing is written, and
    nothing is left in ``sys.modules``. Raises ExportError, naming the file, if it does not work.
    """
    path = folder / MODEL_FILE
    module = ModuleType("exported_model")
    module.__file__ = str(path)
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
        model = module.load(folder)
    except (
        OSError,
        SyntaxError,
        NameError,
        ImportError,
        AttributeError,
        TypeError,
        ValueError,
        LookupError,
        RuntimeError,
        safetensors.SafetensorError,
    ) as error:
        raise ExportError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error
    if not isinstance(model, torch.nn.Module):
        raise ExportError(f"{path}: load() must return an nn.Module; got {type(model).__name__}")
    return model
