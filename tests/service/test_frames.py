"""Front points as tables and files."""

import pandas as pd
import pytest

from service.errors import UnknownTableFormatError
from service.frames import front_frame, save_front

POINTS = [
    {
        "subnet_id": "a:1",
        "top1": 0.9,
        "latency_ms": 1.5,
        "values": {"top1": 0.9, "macs": 10.0},
        "genes": [0, 1],
    },
    {
        "subnet_id": "a:2",
        "top1": 0.95,
        "latency_ms": 2.5,
        "values": {"top1": 0.95, "macs": 20.0},
        "genes": [1, 1],
    },
]


def test_metrics_become_columns():
    frame = front_frame(POINTS)
    assert list(frame.columns) == ["subnet_id", "top1", "latency_ms", "genes", "macs"]
    assert frame["macs"].tolist() == [10.0, 20.0]


@pytest.mark.parametrize(
    ("suffix", "read"), [(".csv", pd.read_csv), (".parquet", pd.read_parquet), (".json", pd.read_json)]
)
def test_files_hold_the_points(tmp_path, suffix, read):
    path = tmp_path / f"front{suffix}"
    save_front(POINTS, path)
    back = read(path)
    assert back["subnet_id"].tolist() == ["a:1", "a:2"]
    assert back["top1"].tolist() == pytest.approx([0.9, 0.95])


def test_another_suffix_is_refused_and_nothing_written(tmp_path):
    with pytest.raises(UnknownTableFormatError, match=r"front\.xls: the suffix must be one of \.csv"):
        save_front(POINTS, tmp_path / "front.xls")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_front_is_an_empty_table():
    assert front_frame([]).empty
