"""Cursors: only what a list handed out leads anywhere, and pages miss and repeat nothing."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.backend.checks import to_json
from db.backend.cursor import Keyset
from db.errors import InvalidCursorError
from db.ids import new_id
from db.schema.job_rows import JobRow
from db.schema.study_rows import StudyRow, TrialRow

JOBS = Keyset("jobs", (JobRow.id,), descending=True)
STUDIES = Keyset("studies", (StudyRow.created_at, StudyRow.id))
TRIALS = Keyset("trials", (TrialRow.number,))
times = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(9998, 1, 1), timezones=st.just(UTC))
names = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=40)


@given(times, names)
def test_key_comes_back(created_at: datetime, study_id: str) -> None:
    cursor = STUDIES.encode((created_at, study_id), {})
    assert STUDIES.decode(cursor, {}) == (created_at, study_id)


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda b: base64.urlsafe_b64encode(b).decode()))
def test_anything_else_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidCursorError):
        STUDIES.decode(cursor, {})


@given(st.integers(min_value=0), st.sampled_from("ABab01-_"))
def test_changed_cursor_is_refused(position: int, letter: str) -> None:
    cursor = TRIALS.encode((12345,), {"state": "running"})
    i = position % (len(cursor) - 1)  # the last letter may hold unused bits
    changed = cursor[:i] + letter + cursor[i + 1 :]
    if changed != cursor:
        with pytest.raises(InvalidCursorError):
            TRIALS.decode(changed, {"state": "running"})


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(json_values)
def test_cursor_forged_with_the_right_checksum_is_a_key_or_refused(value: object) -> None:
    body = to_json(value).encode()
    forged = base64.urlsafe_b64encode(TRIALS._checksum(body, {}) + body).decode().rstrip("=")
    try:
        [number] = TRIALS.decode(forged, {})
    except InvalidCursorError:
        return
    assert type(number) is int
    assert abs(number) <= 2**63


@pytest.mark.parametrize(
    "forged", [[10**30, "s"], [1.5, "s"], [True, "s"], ["1", "s"], [1, 2], [1, "nul\0"], [1]]
)
def test_key_of_the_wrong_type_is_refused(forged: list[object]) -> None:
    body = to_json(forged).encode()
    cursor = base64.urlsafe_b64encode(STUDIES._checksum(body, {}) + body).decode().rstrip("=")
    with pytest.raises(InvalidCursorError):
        STUDIES.decode(cursor, {})


def test_cursor_is_bound_to_list_and_filters() -> None:
    cursor = JOBS.encode((new_id(),), {"kind": "train", "state": None})
    assert JOBS.decode(cursor, {"kind": "train"})
    for keyset, filters in ((JOBS, {"kind": "search"}), (JOBS, {}), (TRIALS, {"kind": "train"})):
        with pytest.raises(InvalidCursorError):
            keyset.decode(cursor, filters)


def test_huge_cursor_is_refused() -> None:
    with pytest.raises(InvalidCursorError) as raised:
        JOBS.decode("A" * 1_000_000, {})
    assert len(str(raised.value)) < 200


def test_ids_sort_by_time() -> None:
    ids = [new_id() for _ in range(50)]
    assert len(set(ids)) == 50
    assert all(len(i) == 32 and i[12] == "7" and i[16] in "89ab" for i in ids)
    assert [i[:12] for i in ids] == sorted(i[:12] for i in ids)
