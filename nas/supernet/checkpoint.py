"""Supernets on disk: safetensors beside a JSON header that holds the digest of the tensors.

The header is replaced last and atomically, so a crash leaves the previous checkpoint whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as dump_tensors
from torch import Tensor

from nas.errors import CheckpointError
from nas.supernet.rows8 import pack, unpack
from nas.supernet.supernet import Supernet
from searchspaces.errors import UnknownSpaceError
from searchspaces.registry import get_space

FORMAT = 1
NAME = "supernet"


def save_supernet(
    folder: Path, supernet: Supernet, *, info: Mapping[str, Any], dtype: torch.dtype = torch.float32
) -> str:
    """Write ``supernet.json`` and its tensors; ``info`` is kept in the header. Returns the digest.

    Floating-point tensors are stored as ``dtype``; ``load_supernet`` gives float32 whatever it was.
    With ``torch.int8``, large ones are stored as ``nas.supernet.rows8`` does, the others as float16.
    Raises CheckpointError for a finite value that is too large for that type.
    """
    state = supernet.state_dict()
    tensors = pack(state) if dtype is torch.int8 else {name: _stored(t, dtype) for name, t in state.items()}
    for name, tensor in state.items():
        if not torch.equal(tensors[name].isfinite(), tensor.isfinite()):
            raise CheckpointError(f"{folder / NAME}.json: a value of {name} is too large for {dtype}")
    header = {**supernet_header(supernet), "info": dict(info)}
    return write_checkpoint(folder, NAME, tensors, header)


def load_supernet(folder: Path) -> Supernet:
    """The supernet in this folder, in eval mode on the CPU.

    Raises CheckpointError, naming the file, if it is missing, damaged or of an unknown space.
    """
    tensors, header = read_checkpoint(folder, NAME)
    supernet = _empty_supernet(header, folder / f"{NAME}.json")
    try:
        supernet.load_state_dict(unpack(tensors))
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(
            f"{folder / NAME}.json: not the tensors of {header['space']}: {error}"
        ) from error
    return supernet.eval()


def _stored(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def supernet_header(supernet: Supernet) -> dict[str, Any]:
    """What is needed to construct an empty supernet of the same shape."""
    return {
        "format": FORMAT,
        "space": supernet.space.id,
        "n_classes": supernet.n_classes,
        "in_channels": supernet.in_channels,
    }


def supernet_arrays(supernet: Supernet) -> dict[str, NDArray[Any]]:
    """Name to NumPy array of every tensor; the memory is shared with the supernet."""
    return {name: tensor.detach().cpu().numpy() for name, tensor in supernet.state_dict().items()}


def supernet_from_arrays(arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any]) -> Supernet:
    """A supernet in eval mode that uses the arrays' own memory, which may be read-only."""
    supernet = _empty_supernet(header, Path("header"))
    tensors = {name: _borrow(array) for name, array in arrays.items()}
    supernet.load_state_dict(tensors, assign=True)
    return supernet.eval().requires_grad_(False)


def write_checkpoint(
    folder: Path, name: str, tensors: Mapping[str, Tensor], header: Mapping[str, Any]
) -> str:
    """Write ``name-DIGEST.safetensors``, then ``name.json`` that points to it. Returns the SHA-256."""
    folder.mkdir(parents=True, exist_ok=True)
    data = dump_tensors({key: value.detach().cpu().contiguous() for key, value in tensors.items()})
    digest = hashlib.sha256(data).hexdigest()
    file = f"{name}-{digest[:16]}.safetensors"
    _write_atomically(folder / file, data)
    text = json.dumps({**header, "tensors": file, "sha256": digest}, indent=1)
    _write_atomically(folder / f"{name}.json", text.encode())
    for old in folder.glob(f"{name}-*.safetensors"):
        if old.name != file:
            old.unlink()
    return digest


def read_checkpoint(folder: Path, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and header; raises CheckpointError, naming the file, unless the digest matches."""
    path = folder / f"{name}.json"
    try:
        header = json.loads(path.read_text())
        file = folder / Path(str(header["tensors"])).name
        expected = header["sha256"]
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such checkpoint") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: not a checkpoint header: {error!r}") from error
    if header.get("format") != FORMAT:
        raise CheckpointError(f"{path}: format must be {FORMAT}; got {header.get('format')!r}")
    try:
        data = file.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read: {error}") from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != expected:
        raise CheckpointError(f"{file}: damaged: SHA-256 is {digest[:16]}…, the header says {expected[:16]}…")
    return parse_tensors(data), header


def _empty_supernet(header: Mapping[str, Any], path: Path) -> Supernet:
    try:
        name, _, version = str(header["space"]).partition("@")
        space = get_space(name)
        if str(space.version) != version:
            raise CheckpointError(f"{path}: made for {header['space']}, this version has {space.id}")
        return Supernet(space, n_classes=int(header["n_classes"]), in_channels=int(header["in_channels"]))
    except (KeyError, UnknownSpaceError) as error:
        raise CheckpointError(f"{path}: {error}") from error


def _borrow(array: NDArray[Any]) -> Tensor:
    if array.ndim == 0:
        return torch.tensor(array.item(), dtype=torch.from_numpy(np.empty(0, array.dtype)).dtype)
    with warnings.catch_warnings():
        # Writing to read-only memory would be undefined, but an eval-mode supernet never writes.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        return torch.from_numpy(array)


def _write_atomically(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
