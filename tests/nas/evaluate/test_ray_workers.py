"""What happens to a chunk whose workers die; the workers themselves are tested with RayPool."""

from __future__ import annotations

from ray.exceptions import RayActorError

from nas.evaluate.ray_workers import Chunk
from nas.types import Evaluation
from tests.contracts.toy import toy_space

ARCHS = list(toy_space().archs())[:3]
DEATH = RayActorError(error_msg="out of memory")


def test_the_first_death_changes_nothing_and_the_second_divides_the_chunk() -> None:
    chunk = Chunk(ARCHS)
    chunk.mourn(DEATH)
    assert chunk.group == ARCHS
    chunk.mourn(DEATH)
    assert chunk.group == ARCHS[:1]
    assert chunk.done == []


def test_an_arch_alone_fails_after_two_deaths_of_its_own() -> None:
    chunk = Chunk(ARCHS)
    for _ in range(2):
        chunk.mourn(DEATH)
    chunk.done.append(Evaluation(ARCHS[0], {"top1": 0.5}))
    chunk.mourn(DEATH)
    assert chunk.group == ARCHS[1:2]
    chunk.mourn(DEATH)
    assert chunk.group == ARCHS[2:]
    assert [evaluation.arch for evaluation in chunk.done] == ARCHS[:2]
    assert "out of memory" in str(chunk.done[1].error)


def test_a_chunk_of_one_arch_fails_at_the_second_death() -> None:
    chunk = Chunk(ARCHS[:1])
    for _ in range(2):
        chunk.mourn(DEATH)
    assert chunk.group == []
    assert chunk.done[0].error is not None
