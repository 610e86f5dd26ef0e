"""The file formats of a package, each with its writer and the runner that checks it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors
from torch import Tensor

from nas.errors import ExportError
from nas.export.codegen import MODEL_FILE, WEIGHTS_FILE
from nas.export.onnx_batch import export_any_batch
from nas.export.parity import Runner
from nas.export.plain import load_plain, write_plain
from nas.supernet.extract import ExtractedSubnet
from predictors.errors import UnsupportedModelError
from predictors.runtimes.onnx_export import export_onnx
from predictors.runtimes.onnx_graph import OPSET

PLAIN = "torch"
ONNX_FILE = "model.onnx"
PT2_FILE = "model.pt2"


@dataclass(frozen=True, slots=True)
class Written:
    """What a writer did: the one batch size that the files take (None: any), and facts to state."""

    batch: int | None
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Format:
    """A format: ``write(network, example, folder)`` with example (1, C, R, R), and ``open(folder)``.

    Both raise ExportError.
    """

    name: str
    files: tuple[str, ...]
    write: Callable[[ExtractedSubnet, Tensor, Path], Written]
    open: Callable[[Path], Runner]


def _write_plain(network: ExtractedSubnet, example: Tensor, folder: Path) -> Written:
    with _translated("writing the plain model"), torch.inference_mode():
        n_classes = network(example).shape[1]
        write_plain(network, folder, channels=example.shape[1], n_classes=n_classes)
    return Written(None)


def _open_plain(folder: Path) -> Runner:
    return _guarded(load_plain(folder))


def _write_onnx(network: ExtractedSubnet, example: Tensor, folder: Path) -> Written:
    with _translated("ONNX export", UnsupportedModelError, onnx.checker.ValidationError), quiet():
        try:
            model, written = export_any_batch(network, example), Written(None, {"opset": str(OPSET)})
        except ExportError as error:
            model = export_onnx(network, example)
            written = Written(1, {"opset": str(OPSET), "batch": f"1 only: {error}"})
        onnx.checker.check_model(model)
        (folder / ONNX_FILE).write_bytes(model.SerializeToString())
    return written


def _open_onnx(folder: Path) -> Runner:
    path = folder / ONNX_FILE
    with _translated(str(path), *ORT_ERRORS):
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        session = ort.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {name: np.ascontiguousarray(images.numpy())})[0])

    return _guarded(run)


def _write_pt2(network: ExtractedSubnet, example: Tensor, folder: Path) -> Written:
    batch = torch.export.Dim("batch", min=1)
    with _translated("torch.export"), quiet(), torch.no_grad():
        # An example of two images: torch takes a size of one for a constant.
        program = torch.export.export(network, (example.repeat(2, 1, 1, 1),), dynamic_shapes=({0: batch},))
        torch.export.save(program, folder / PT2_FILE)
    return Written(None, {"torch": torch.__version__})


def _open_pt2(folder: Path) -> Runner:
    with _translated(str(folder / PT2_FILE)), quiet():
        return _guarded(torch.export.load(folder / PT2_FILE).module())


FAULTS: tuple[type[Exception], ...] = (
    OSError,
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
)
ORT_ERRORS: tuple[type[Exception], ...] = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoModel,
    ort_errors.NoSuchFile,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)
FORMATS: Mapping[str, Format] = {
    PLAIN: Format(PLAIN, (MODEL_FILE, WEIGHTS_FILE), _write_plain, _open_plain),
    "onnx": Format("onnx", (ONNX_FILE,), _write_onnx, _open_onnx),
    "pt2": Format("pt2", (PT2_FILE,), _write_pt2, _open_pt2),
}


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the warnings of exporters, which are about themselves; problems are exceptions."""
    logger = logging.getLogger("torch.export")
    level = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)


@contextmanager
def _translated(what: str, *errors: type[Exception]) -> Iterator[None]:
    """Errors of the libraries below as ExportError."""
    caught: tuple[type[Exception], ...] = (*FAULTS, *errors)
    try:
        yield
    except ExportError:
        raise
    except caught as error:
        raise ExportError(f"{what} failed: {type(error).__name__}: {str(error)[:500]}") from error


def _guarded(run: Callable[[Tensor], Tensor]) -> Runner:
    def guarded(images: Tensor) -> Tensor:
        with _translated("running the model", *ORT_ERRORS), torch.inference_mode():
            return run(images)

    return guarded
