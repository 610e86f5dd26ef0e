"""Tables of recorded measurements: what is read, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from searchspaces.errors import TableError
from searchspaces.registry import get_space
from searchspaces.tables import check_genes, read_table

SPACE = get_space("nats-size")
CHOICES = [{"name": choice.name, "values": choice.values} for choice in SPACE.choices]
GOOD: dict[str, Any] = {
    "genes": np.array([[0, 1, 2, 3, 4], [7, 7, 7, 7, 7]], dtype=np.int16),
    "choices": np.array(json.dumps(CHOICES)),
    "devices": np.array(["phone", "gpu"]),
    "latency_ms": np.array([[1.0, 2.0], [3.0, 4.0]], dtype=np.float32),
    "top1_cifar10": np.array([0.8, 0.9], dtype=np.float32),
}


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "table.npz"
    np.savez(path, **{key: value for key, value in {**GOOD, **changes}.items() if value is not None})
    return path


def test_rows_are_archs_of_the_space(tmp_path: Path) -> None:
    table = read_table(write(tmp_path))
    check_genes(table, SPACE)
    arch = SPACE.arch(table.genes[0])
    assert list(SPACE.values(arch).values()) == [8, 16, 24, 32, 40]
    assert table.devices == ("phone", "gpu")
    np.testing.assert_allclose(table.latency_ms, [[1, 2], [3, 4]])
    np.testing.assert_allclose(table.top1["cifar10"], [0.8, 0.9], rtol=1e-6)


def test_latency_and_accuracy_may_be_absent(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, devices=None, latency_ms=None, top1_cifar10=None))
    assert table.latency_ms.shape == (2, 0)
    assert table.top1 == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"genes": None}, "no array 'genes'"),
        ({"genes": np.array([[0, 1, 2, 3]])}, r"genes must have shape \('any', 5\)"),
        ({"genes": np.array([[0, 1, 2, 3, 8]])}, r"genes\[0, 4\] is 8; 'width_4' has options 0..7"),
        ({"genes": np.array([[0, 1, -1, 3, 1]])}, r"genes\[0, 2\] is -1"),
        ({"genes": np.zeros((2, 5))}, "kind 'iu'"),
        ({"choices": np.array("[1, 2]")}, "JSON list"),
        ({"choices": np.array("nothing")}, "JSON list"),
        ({"top1_cifar10": np.array([80.0, 90.0])}, r"top1_cifar10 must lie in \[0, 1\]"),
        ({"top1_cifar10": np.array([np.nan, 0.5])}, r"top1_cifar10 must lie in \[0, 1\]"),
        ({"top1_cifar10": np.array([0.5])}, "top1_cifar10 must have shape"),
        ({"latency_ms": np.zeros((2, 3))}, "latency_ms must have shape"),
        ({"genes": np.array([[{}]], dtype=object)}, "not a table"),
    ],
)
def test_damaged_tables_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TableError, match=message) as caught:
        read_table(write(tmp_path, **changes))
    assert "table.npz" in str(caught.value)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no such file"):
        read_table(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(TableError, match="not a table"):
        read_table(tmp_path / "text.npz")
    np.save(tmp_path / "array.npy", np.zeros(3))
    with pytest.raises(TableError, match=r"an \.npz file"):
        read_table(tmp_path / "array.npy")


@pytest.mark.parametrize("other", ["nasbench201", "hybrid-tiny"])
def test_a_table_of_another_space_names_both_sides(tmp_path: Path, other: str) -> None:
    table = read_table(write(tmp_path))
    with pytest.raises(TableError, match=r"table\.npz has 5 choices, " + other):
        check_genes(table, get_space(other))


def test_options_in_another_order_are_refused(tmp_path: Path) -> None:
    flipped = [{**CHOICES[0], "values": CHOICES[0]["values"][::-1]}, *CHOICES[1:]]
    table = read_table(write(tmp_path, choices=np.array(json.dumps(flipped))))
    with pytest.raises(TableError, match=r"\(64, 56.*nats-size@1 'width_0' of \(8, 16"):
        check_genes(table, SPACE)
