"""The prefix-sharing evaluator equals the plain one bit for bit, within the memory it is given."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nas.blocks.elastic import ElasticBlock
from nas.data.types import Split
from nas.errors import ConfigError
from nas.evaluate.accuracy import SupernetEvaluator
from nas.evaluate.prefix.evaluator import PrefixEvaluator
from nas.evaluate.prefix.layers import weight_bytes
from nas.evaluate.prefix.retained import Outputs, Recorder, Retained
from nas.evaluate.prefix.trie import Node, Root, build_tries, prefix_groups
from nas.evaluate.prefix.walk import walk
from nas.supernet.supernet import Supernet
from searchspaces.registry import get_space
from searchspaces.space import Arch, SearchSpace
from searchspaces.subnet import Layer, SubnetSpec
from searchspaces.variation import mutate
from tests.contracts.evaluator import EvaluatorContract

SPACES = ("hybrid-tiny", "nasbench201-c4-n1-r8", "stitched-tiny")
N_CLASSES = 5


@cache
def supernet_of(name: str) -> Supernet:
    """With weights that are not those of the start, so that no branch adds nothing."""
    torch.manual_seed(0)
    supernet = Supernet(get_space(name), n_classes=N_CLASSES, in_channels=1, mean=[0.3], std=[0.5])
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return supernet.eval()


@cache
def images() -> tuple[Split, tuple[Tensor, ...]]:
    """Two validation batches of unequal size; three calibration batches, the last one smaller."""
    rng = np.random.default_rng(0)
    val = Split(rng.integers(0, 256, (260, 1, 8, 8), dtype=np.uint8), rng.integers(0, N_CLASSES, 260))
    return val, tuple(torch.from_numpy(rng.random((40, 1, 8, 8), dtype=np.float32)).split(16))


def evaluators(name: str, **options: int) -> tuple[SupernetEvaluator, PrefixEvaluator]:
    supernet, (val, calibration) = supernet_of(name), images()
    plain = SupernetEvaluator(supernet, val, calibration)
    return plain, PrefixEvaluator(supernet, val, calibration, **options)


def relatives(space: SearchSpace, seed: int, n: int) -> list[Arch]:
    """A random arch and mutants of it, as searchers ask for: much in common, repeats not excluded."""
    rng = np.random.default_rng(seed)
    archs = [space.sample(rng)]
    while len(archs) < n:
        archs.append(mutate(space, archs[int(rng.integers(len(archs)))], rng, rate=0.05))
    return archs


@pytest.mark.parametrize("name", SPACES)
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 2**16), n=st.integers(1, 4), max_bytes=st.sampled_from([0, 2**20, 2**26]))
def test_equals_the_plain_evaluator_bit_for_bit(name: str, seed: int, n: int, max_bytes: int) -> None:
    archs = relatives(get_space(name), seed, n + 2)
    plain, prefix = evaluators(name, max_bytes=max_bytes)
    found = [*prefix.evaluate(archs[:n]), *prefix.evaluate(archs[n:])]
    assert found == plain.evaluate(archs)
    assert prefix.peak_bytes <= max_bytes // 4
    assert prefix.retained_bytes <= max_bytes // 4


@pytest.mark.parametrize("name", SPACES)
def test_scores_tell_subnets_apart(name: str) -> None:
    rng = np.random.default_rng(3)
    archs = [get_space(name).sample(rng) for _ in range(8)]
    _, prefix = evaluators(name)
    assert len({evaluation.values["top1"] for evaluation in prefix.evaluate(archs)}) > 1


class TestPrefixEvaluator(EvaluatorContract):
    @pytest.fixture
    def evaluator(self) -> PrefixEvaluator:
        return evaluators("hybrid-tiny")[1]

    @pytest.fixture
    def archs(self) -> Sequence[Arch]:
        return relatives(get_space("hybrid-tiny"), 1, 4)


def test_an_arch_of_another_space_fails_alone() -> None:
    good = relatives(get_space("stitched-tiny"), 0, 2)
    bad = get_space("hybrid-tiny").extreme(largest=True)
    plain, prefix = evaluators("stitched-tiny")
    first, wrong, last = prefix.evaluate([good[0], bad, good[1]])
    assert "hybrid-tiny" in str(wrong.error)
    assert [first, last] == plain.evaluate(good)
    assert prefix.evaluate([bad]) == [wrong]


def test_memory_must_not_be_negative() -> None:
    with pytest.raises(ConfigError, match="max_bytes"):
        evaluators("hybrid-tiny", max_bytes=-1)


def test_what_was_retained_is_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    extracted: list[object] = []
    extract = ElasticBlock.extract

    def counting(block: ElasticBlock[object], spec: object) -> nn.Module:
        extracted.append(spec)
        return extract(block, spec)

    monkeypatch.setattr(ElasticBlock, "extract", counting)
    archs = relatives(get_space("hybrid-tiny"), 4, 3)
    _, prefix = evaluators("hybrid-tiny")
    first = prefix.evaluate(archs)
    n_nodes = sum(1 for root in build_tries(subnets_of(archs)) for _ in root.nodes())
    assert len(extracted) == n_nodes
    assert prefix.evaluate(archs) == first
    assert len(extracted) - n_nodes <= 2 * len(archs)  # a last block and the head
    assert prefix.retained_bytes > 0


def test_nothing_is_retained_of_weights_that_have_changed() -> None:
    archs = relatives(get_space("stitched-tiny"), 4, 2)
    supernet, (val, calibration) = copy.deepcopy(supernet_of("stitched-tiny")), images()
    prefix = PrefixEvaluator(supernet, val, calibration)
    before = prefix.evaluate(archs)
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.mul_(-1)
    after = prefix.evaluate(archs)
    assert after == SupernetEvaluator(supernet, val, calibration).evaluate(archs)
    assert after != before


def test_outputs_used_least_recently_make_room() -> None:
    space = get_space("hybrid-tiny")
    subnet = space.decode(space.extreme(largest=True))
    tensor = torch.zeros(10)
    retained = Retained(2 * tensor.nbytes)
    prefixes = [(subnet.resolution, subnet.layers[:n]) for n in (1, 2, 3)]
    retained.add({prefix: Outputs([tensor], []) for prefix in prefixes[:2]})
    assert retained.n_known(subnet) == 2
    retained.outputs(*prefixes[0])
    retained.add({prefixes[2]: Outputs([], [tensor])})
    assert retained.nbytes == 2 * tensor.nbytes
    assert retained.n_known(subnet) == 3
    assert retained.n_known(replace(subnet, layers=subnet.layers[:3])) == 1
    assert retained.n_known(replace(subnet, resolution=subnet.resolution + 4)) == 0


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_recorder_takes_no_more_than_it_may(share: float) -> None:
    name = "hybrid-tiny"
    (root,) = build_tries(subnets_of([get_space(name).extreme(largest=True)]))
    everything = Recorder(root, 7, 2**40)
    feed(everything, root)
    whole = sum(outputs.nbytes for outputs in everything.outputs().values())
    recorder = Recorder(root, 7, int(share * whole))
    feed(recorder, root)
    taken = sum(outputs.nbytes for outputs in recorder.outputs().values())
    assert taken <= share * whole
    assert (taken == whole) == (share == 1.0)


def feed(recorder: Recorder, root: Root) -> None:
    """Three images for calibration, four for validation, through every layer twice."""
    supernet = supernet_of("hybrid-tiny")

    def run(node: Node, x: Tensor) -> Tensor:
        y: Tensor = supernet.block(node.layer.slot)(x, node.layer.spec)
        return y

    def leaf(node: Node, x: Tensor) -> None:
        """Nothing to do with logits."""

    with torch.inference_mode():
        start = torch.zeros(3, 1, root.resolution, root.resolution)
        walk(root, start, run=observed(run, recorder), leaf=leaf, limit=0)
        noting = recorder.validation(run)
        for _ in range(2):
            walk(root, torch.zeros(4, *start.shape[1:]), run=noting, leaf=leaf, limit=0)


def observed(run: Callable[[Node, Tensor], Tensor], recorder: Recorder) -> Callable[[Node, Tensor], Tensor]:
    def noting(node: Node, x: Tensor) -> Tensor:
        y = run(node, x)
        recorder.calibration(node, y)
        return y

    return noting


def subnets_of(archs: Sequence[Arch], name: str = "hybrid-tiny") -> list[tuple[int, SubnetSpec]]:
    return [(i, get_space(name).decode(arch)) for i, arch in enumerate(sorted(archs, key=lambda a: a.genes))]


def test_each_layer_of_a_shared_prefix_is_one_node() -> None:
    space = get_space("hybrid-tiny")
    archs = relatives(space, 5, 12)
    roots = build_tries(subnets_of(archs))
    paths = {(s.resolution, s.layers[:d]) for _, s in subnets_of(archs) for d in range(1, len(s.layers) + 1)}
    assert (
        sum(1 for root in roots for _ in root.nodes()) == len(paths) < 12 * len(space.decode(archs[0]).layers)
    )
    ends = [index for root in roots for node in root.nodes() for index in node.subnets]
    assert sorted(ends) == list(range(len(archs)))


def test_groups_hold_no_more_weights_than_allowed_and_keep_the_order() -> None:
    supernet, subnets = supernet_of("hybrid-tiny"), subnets_of(relatives(get_space("hybrid-tiny"), 5, 12))

    def weigh(layer: Layer) -> int:
        return weight_bytes(supernet, layer)

    def weight(group: Sequence[tuple[int, SubnetSpec]]) -> int:
        return sum(weigh(node.layer) for root in build_tries(group) for node in root.nodes())

    whole = weight(subnets)
    for limit in (0, whole // 3, whole):
        groups = prefix_groups(subnets, weigh, limit)
        assert [item for group in groups for item in group] == subnets
        assert all(len(group) == 1 or weight(group) <= limit for group in groups)
    assert len(prefix_groups(subnets, weigh, whole // 3)) < len(subnets)
    assert prefix_groups([], weigh, 1) == []


@pytest.mark.parametrize("limit", [0, 4, 8, 1000])
def test_a_walk_gives_every_leaf_its_path_within_the_limit(limit: int) -> None:
    space = get_space("hybrid-tiny")
    rng = np.random.default_rng(0)
    parent = space.sample(rng)
    archs = [mutate(space, parent, rng, rate=0.3) for _ in range(20)]
    met: dict[Node, int] = {}
    for root in build_tries(subnets_of(archs)):
        numbers = {node: float(i + 1) for i, node in enumerate(root.nodes())}
        leaves: dict[Node, float] = {}

        def run(node: Node, x: Tensor, numbers: dict[Node, float] = numbers) -> Tensor:
            met[node] = met.get(node, 0) + 1
            return (2 * x + numbers[node]) % 10007

        def leaf(node: Node, x: Tensor, leaves: dict[Node, float] = leaves) -> None:
            assert node not in leaves
            leaves[node] = float(x)

        peak = walk(root, torch.zeros(1), run=run, leaf=leaf, limit=limit)
        assert peak <= limit
        assert leaves == expected(root, numbers)
    if limit == 1000:
        assert set(met.values()) == {1}  # with room for every output nothing is computed twice
    if limit == 0:
        assert max(met.values()) > 1


def expected(root: Root, numbers: dict[Node, float]) -> dict[Node, float]:
    found: dict[Node, float] = {}

    def visit(node: Node, x: float) -> None:
        y = (2 * x + numbers[node]) % 10007
        if node.subnets:
            found[node] = y
        for child in node.children.values():
            visit(child, y)

    for child in root.children.values():
        visit(child, 0.0)
    return found
