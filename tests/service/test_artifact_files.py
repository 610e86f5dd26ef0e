from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.artifacts import ArtifactFiles
from service.errors import ArtifactDamagedError


@pytest.fixture
def files(tmp_path: Path) -> ArtifactFiles:
    return ArtifactFiles(str(tmp_path / "store"))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=3000))
def test_what_is_put_is_read_by_its_digest(files: ArtifactFiles, tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "source"
    source.write_bytes(content)
    digest, size = files.put(source)
    assert (digest, size) == (hashlib.sha256(content).hexdigest(), len(content))
    assert b"".join(files.read(digest)) == content
    assert files.put(source) == (digest, size)
    assert not list((tmp_path / "store").glob("tmp-*"))


@pytest.mark.parametrize("damage", [b"other", b"", None])
def test_damage_is_noticed_before_a_byte_leaves(
    files: ArtifactFiles, tmp_path: Path, damage: bytes | None
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"content")
    digest, _ = files.put(source)
    stored = tmp_path / "store" / digest[:2] / digest
    if damage is None:
        stored.unlink()
    else:
        stored.write_bytes(damage)
    with pytest.raises(ArtifactDamagedError, match=digest):
        files.read(digest)


def test_failed_copy_leaves_nothing(
    files: ArtifactFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"content")

    def half(self: ArtifactFiles, file: Path, target: str) -> None:
        Path(target).write_bytes(b"con")

    monkeypatch.setattr(ArtifactFiles, "_copy", half)
    with pytest.raises(ArtifactDamagedError):
        files.put(source)
    assert [path for path in (tmp_path / "store").rglob("*") if path.is_file()] == []


def test_other_file_systems_behave_alike(tmp_path: Path) -> None:
    files = ArtifactFiles("memory://artifacts-of-a-test")
    source = tmp_path / "source"
    source.write_bytes(b"content")
    digest, _ = files.put(source)
    assert b"".join(files.read(digest)) == b"content"
    with pytest.raises(ArtifactDamagedError, match="missing"):
        files.read("0" * 64)
