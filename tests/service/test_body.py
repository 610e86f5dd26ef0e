from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.jobs.context import Reporter
from service.web.body import MAX_DEPTH, BodyError, parse_json
from service.web.conditional import matches

VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.text(),
        st.floats(allow_nan=False, allow_infinity=False),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=15,
)  # fmt: skip


@given(value=VALUES)
def test_json_is_parsed_as_it_was_written(value: object) -> None:
    assert parse_json(json.dumps(value).encode()) == value


@given(path=st.lists(st.integers(0, 2) | st.text("abc", min_size=1, max_size=2), max_size=6))
def test_the_path_to_a_number_that_is_none_is_found(path: list[int | str]) -> None:
    value: object = float("nan")
    for part in reversed(path):
        value = [0.0] * part + [value] if isinstance(part, int) else {"z": 1.5, part: value}
    with pytest.raises(BodyError) as caught:
        parse_json(json.dumps(value).encode())
    assert list(caught.value.path) == path


def test_depth_is_limited() -> None:
    assert parse_json(b"[" * MAX_DEPTH + b"1" + b"]" * MAX_DEPTH)
    with pytest.raises(BodyError, match="deeper"):
        parse_json(b"[" * (MAX_DEPTH + 1) + b"1" + b"]" * (MAX_DEPTH + 1))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, False),
        ('"a"', True),
        ('W/"a"', True),
        ('"b", "a"', True),
        ("*", True),
        ('"b"', False),
        ("a", False),
    ],
)
def test_if_none_match(header: str | None, expected: bool) -> None:
    assert matches(header, '"a"') is expected


def test_progress_is_stored_at_most_twice_a_second_but_never_loses_a_stages_ends() -> None:
    now, stored = [0.0], []
    report = Reporter(stored.append, clock=lambda: now[0])
    for done in range(101):
        report("a", done, 100)
        now[0] += 0.01
    report("b", 0, 10)
    report("b", 10, 10, loss=1.0)
    assert [(item["stage"], item["done"]) for item in stored] == [
        ("a", 0), ("a", 50), ("a", 100), ("b", 0), ("b", 10),
    ]  # fmt: skip
    assert stored[1]["eta_s"] == pytest.approx(0.5)
    assert stored[-1]["loss"] == 1.0
