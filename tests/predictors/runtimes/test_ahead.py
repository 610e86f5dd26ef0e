from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from predictors.errors import InvalidValueError, UnsupportedModelError
from predictors.runtimes.ahead import inductor
from predictors.runtimes.ahead.inductor import InductorRuntime
from predictors.runtimes.ahead.package_cache import PackageCache, default_folder
from predictors.runtimes.registry import get_runtime
from predictors.runtimes.requirements import missing
from predictors.runtimes.runtime import Runtime
from tests.contracts.runtime import RuntimeContract, small_net

EXAMPLE = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
NO_COMPILER = missing("inductor")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("inductor")


@pytest.mark.slow
@pytest.mark.skipif(NO_COMPILER is not None, reason=NO_COMPILER or "")
class TestInductor(RuntimeContract):
    @pytest.fixture
    def runtime(self, folder: Path) -> Runtime:
        return InductorRuntime(folder)


class TestExecuTorch(RuntimeContract):
    @pytest.fixture
    def runtime(self) -> Runtime:
        pytest.importorskip("executorch", reason="executorch is not installed")
        return get_runtime("executorch")

    def test_what_was_delegated_is_recorded(self, runtime: Runtime) -> None:
        session: Any = runtime.load(small_net(), EXAMPLE)
        assert session.delegation.delegated > 0
        assert session.delegation.portable == {}

    def test_a_session_does_not_outlive_its_threads(self, runtime: Runtime) -> None:
        with runtime.limit_threads(3):
            session = runtime.load(small_net(), EXAMPLE)
        with pytest.raises(InvalidValueError, match="load it again"):
            session.run()


class FakeCompiler:
    """Stands for inductor: "compiles" to a file and loads the module that it was given."""

    def __init__(self, error: Exception | None = None) -> None:
        self.settings: list[dict[str, Any]] = []
        self.error = error

    def compile(self, program: Any, *, package_path: str, inductor_configs: dict[str, Any]) -> None:
        self.settings.append(inductor_configs)
        Path(package_path).write_text("half")
        if self.error is not None:
            raise self.error

    def load(self, path: str) -> nn.Module:
        assert Path(path).exists()
        return small_net()


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> FakeCompiler:
    fake = FakeCompiler()
    monkeypatch.setattr(inductor, "aoti_compile_and_package", fake.compile)
    monkeypatch.setattr(inductor, "aoti_load_package", fake.load)
    monkeypatch.setattr(inductor, "missing", lambda name: None)
    return fake


def test_a_network_is_compiled_once_for_each_number_of_threads(
    compiler: FakeCompiler, tmp_path: Path
) -> None:
    for _ in range(2):
        for threads in (1, 2):
            InductorRuntime(tmp_path).load(small_net(), EXAMPLE, threads=threads).run()
    assert [settings["cpp.threads"] for settings in compiler.settings] == [1, 2]


def test_other_weights_and_other_shapes_are_compiled_anew(compiler: FakeCompiler, tmp_path: Path) -> None:
    runtime, other = InductorRuntime(tmp_path), small_net()
    with torch.no_grad():
        next(other.parameters()).mul_(2)
    for module, images in (
        (small_net(), EXAMPLE),
        (other, EXAMPLE),
        (small_net(), torch.rand(2, 3, 8, 8)),
    ):
        runtime.load(module, images)
    assert len(compiler.settings) == 3


def test_what_cannot_be_compiled_is_refused_and_leaves_nothing(
    compiler: FakeCompiler, tmp_path: Path
) -> None:
    compiler.error = RuntimeError("C++ compile error\nlong story")
    with pytest.raises(UnsupportedModelError, match="inductor: RuntimeError: C"):
        InductorRuntime(tmp_path).load(small_net(), EXAMPLE)
    assert list(tmp_path.iterdir()) == []


def test_the_least_recently_used_packages_are_dropped(tmp_path: Path) -> None:
    cache = PackageCache(tmp_path, limit=2)
    for age, key in enumerate("abc"):
        path = cache.get(key, lambda file: file.touch())
        os.utime(path, (age, age))
    cache.get("b", lambda file: pytest.fail("it is there"))
    cache.get("d", lambda file: file.touch())
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["b", "d"]


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o770)
    with pytest.raises(InvalidValueError, match="writable by nobody else; its mode is 770"):
        PackageCache(tmp_path).get("a", lambda file: file.touch())


def test_the_folder_is_in_the_cache_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "stitchnas" / "inductor"
