from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from nas.data import cifar10
from nas.data.load import load_data
from nas.errors import DataError


def write_idx(path: Path, array: np.ndarray) -> None:
    header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    content = header + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.fixture
def fashion(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for prefix, n, suffix in (("train", 60, ".gz"), ("t10k", 20, "")):
        write_idx(tmp_path / f"{prefix}-images-idx3-ubyte{suffix}", rng.integers(0, 256, (n, 28, 28)))
        write_idx(tmp_path / f"{prefix}-labels-idx1-ubyte{suffix}", np.arange(n) % 10)
    return tmp_path


def test_fashion_mnist_keeps_the_official_test_set(fashion: Path) -> None:
    data = load_data(f"fashion-mnist:{fashion}")
    raw = np.frombuffer((fashion / "t10k-images-idx3-ubyte").read_bytes()[16:], np.uint8)
    assert np.array_equal(data.test.images, raw.reshape(20, 1, 28, 28))
    assert np.array_equal(data.test.labels, np.arange(20) % 10)
    assert (len(data.train), len(data.val), data.in_channels, data.resolution) == (50, 10, 1, 28)
    assert data.classes[9] == "Ankle boot"


def damage_truncated_gzip(folder: Path) -> str:
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-2000])
    return r"train-images-idx3-ubyte\.gz: cannot be read"


def damage_not_gzip(folder: Path) -> str:
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(b"<html>not found</html>")
    return r"train-labels-idx1-ubyte\.gz: cannot be read"


def damage_truncated_raw(folder: Path) -> str:
    path = folder / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    return r"t10k-images-idx3-ubyte: shape \(20, 28, 28\) needs 15680 bytes; the file has only 15679"


def damage_trailing(folder: Path) -> str:
    path = folder / "t10k-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes() + b"x")
    return r"t10k-labels-idx1-ubyte: shape \(20,\) needs 20 bytes; the file has more"


def damage_magic(folder: Path) -> str:
    path = folder / "t10k-labels-idx1-ubyte"
    path.write_bytes(b"\0\0\x0d\x01" + path.read_bytes()[4:])
    return "t10k-labels-idx1-ubyte: is no IDX file of bytes in 1 dimensions"


def damage_empty(folder: Path) -> str:
    (folder / "t10k-labels-idx1-ubyte").write_bytes(b"")
    return "t10k-labels-idx1-ubyte: is no IDX file"


def damage_huge(folder: Path) -> str:
    path = folder / "t10k-images-idx3-ubyte"
    path.write_bytes(bytes((0, 0, 8, 3)) + struct.pack(">3I", 2**32 - 1, 2**32 - 1, 28))
    return "t10k-images-idx3-ubyte: says that its shape is"


def damage_shape(folder: Path) -> str:
    write_idx(folder / "t10k-images-idx3-ubyte", np.zeros((20, 28, 27)))
    return "t10k-images-idx3-ubyte: images must be 28x28; got 28x27"


def damage_count(folder: Path) -> str:
    write_idx(folder / "t10k-labels-idx1-ubyte", np.zeros(19))
    return "t10k-labels-idx1-ubyte: has 19 labels for 20 images"


def damage_label(folder: Path) -> str:
    write_idx(folder / "t10k-labels-idx1-ubyte", np.full(20, 10))
    return r"t10k-labels-idx1-ubyte: label 10 of image 0 must lie in 0\.\.9"


def damage_class(folder: Path) -> str:
    write_idx(folder / "train-labels-idx1-ubyte.gz", np.arange(60) % 9)
    return "class 'Ankle boot' has no training images"


def damage_missing(folder: Path) -> str:
    (folder / "train-labels-idx1-ubyte.gz").unlink()
    return "train-labels-idx1-ubyte: there is no such file, nor one ending in .gz"


@pytest.mark.parametrize(
    "damage",
    [
        damage_truncated_gzip,
        damage_not_gzip,
        damage_truncated_raw,
        damage_trailing,
        damage_magic,
        damage_empty,
        damage_huge,
        damage_shape,
        damage_count,
        damage_label,
        damage_class,
        damage_missing,
    ],
)
def test_damaged_idx_names_the_file(fashion: Path, damage) -> None:
    message = damage(fashion)
    with pytest.raises(DataError, match=message):
        load_data(f"fashion-mnist:{fashion}")


@pytest.fixture
def cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cifar10, "RECORDS_PER_FILE", 20)
    rng = np.random.default_rng(0)
    for name in cifar10.BINARY_FILES:
        records = rng.integers(0, 256, (20, 3073), dtype=np.uint8)
        records[:, 0] = np.arange(20) % 10
        (tmp_path / name).write_bytes(records.tobytes())
    return tmp_path


def test_cifar10_binary(cifar: Path) -> None:
    data = load_data(f"cifar10:{cifar}")
    raw = np.fromfile(cifar / "test_batch.bin", np.uint8).reshape(20, 3073)
    assert np.array_equal(data.test.images, raw[:, 1:].reshape(20, 3, 32, 32))
    assert np.array_equal(data.test.labels, raw[:, 0])
    assert (data.name, len(data.train), len(data.val)) == ("cifar10", 80, 20)
    trained = {image.tobytes() for image in (*data.train.images, *data.val.images)}
    fourth = np.fromfile(cifar / "data_batch_4.bin", np.uint8).reshape(20, 3073)
    assert all(row[1:].tobytes() in trained for row in fourth)


def test_cifar10_official_archive_folder(cifar: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outer = tmp_path_factory.mktemp("outer")
    cifar.rename(outer / "cifar-10-batches-bin")
    assert len(load_data(f"cifar10:{outer}").test) == 20


def test_cifar10_binary_truncated_missing_and_wrong_label(cifar: Path) -> None:
    path = cifar / "data_batch_3.bin"
    content = path.read_bytes()
    path.write_bytes(content[:-3073])
    with pytest.raises(DataError, match=r"data_batch_3\.bin: must have 61460 bytes; has 58387"):
        load_data(f"cifar10:{cifar}")
    path.unlink()
    with pytest.raises(DataError, match=r"data_batch_3\.bin: there is no such file"):
        load_data(f"cifar10:{cifar}")
    path.write_bytes(b"\x0a" + content[1:])
    with pytest.raises(DataError, match=r"data_batch_3\.bin: label 10 of image 0"):
        load_data(f"cifar10:{cifar}")
