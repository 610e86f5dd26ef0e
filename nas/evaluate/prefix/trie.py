"""The trie of a batch of subnets: layers that several subnets begin with are one node."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from searchspaces.subnet import Layer, SubnetSpec


@dataclass(slots=True, eq=False)
class Node:
    """A layer behind everything on the way to it; ``subnets`` are the indices of those that end here."""

    layer: Layer
    children: dict[Layer, Node] = field(default_factory=dict)
    subnets: list[int] = field(default_factory=list)

    def walk(self) -> Iterator[Node]:
        """The node and all below it."""
        yield self
        for child in self.children.values():
            yield from child.walk()


@dataclass(slots=True, eq=False)
class Root:
    """What several subnets begin with: images of ``resolution`` pixels behind the layers ``prefix``."""

    resolution: int
    prefix: tuple[Layer, ...] = ()
    children: dict[Layer, Node] = field(default_factory=dict)

    def nodes(self) -> Iterator[Node]:
        """All nodes below."""
        for child in self.children.values():
            yield from child.walk()

    def paths(self) -> Iterator[tuple[Node, tuple[Layer, ...]]]:
        """All nodes below with all layers up to and including each, those of ``prefix`` first."""
        ahead = [(node, (*self.prefix, node.layer)) for node in self.children.values()]
        while ahead:
            node, path = ahead.pop()
            yield node, path
            ahead += [(child, (*path, child.layer)) for child in node.children.values()]


def build_tries(
    subnets: Iterable[tuple[int, SubnetSpec]], n_known: Callable[[SubnetSpec], int] = lambda _: 0
) -> list[Root]:
    """Tries of these (index, subnet) pairs, in the order in which they are first needed.

    Equal layers behind equal layers are one node. Every subnet ends in a leaf, its head. The first
    ``n_known`` layers of a subnet, always fewer than it has, are the prefix of its root.
    """
    roots: dict[tuple[int, tuple[Layer, ...]], Root] = {}
    for index, subnet in subnets:
        known = n_known(subnet)
        prefix = subnet.layers[:known]
        at: Root | Node = roots.setdefault((subnet.resolution, prefix), Root(subnet.resolution, prefix))
        for layer in subnet.layers[known:]:
            at = at.children.setdefault(layer, Node(layer))
        assert isinstance(at, Node)
        at.subnets.append(index)
    return list(roots.values())


def prefix_groups(
    subnets: Sequence[tuple[int, SubnetSpec]], weight_bytes: Callable[[Layer], int], limit: int
) -> list[list[tuple[int, SubnetSpec]]]:
    """Cut a sequence of subnets so that the layers of each group's tries hold at most ``limit`` bytes.

    What a subnet has in common with the one before it counts once, so subnets that begin alike
    should be neighbours. A group holds at least one subnet, whatever it weighs.
    """
    groups: list[list[tuple[int, SubnetSpec]]] = []
    held = 0
    for index, subnet in subnets:
        shared = _n_shared(groups[-1][-1][1], subnet) if groups else 0
        new = sum(map(weight_bytes, subnet.layers[shared:]))
        if not groups or held + new > limit:
            groups.append([])
            held, new = 0, sum(map(weight_bytes, subnet.layers))
        held += new
        groups[-1].append((index, subnet))
    return groups


def _n_shared(a: SubnetSpec, b: SubnetSpec) -> int:
    """How many layers both begin with, on images of the same size."""
    if a.resolution != b.resolution:
        return 0
    pairs = zip(a.layers, b.layers, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def prune(at: Root | Node, keep: Collection[int]) -> None:
    """Cut off, below ``at``, whatever leads to none of the subnets with these indices."""
    for layer, child in list(at.children.items()):
        prune(child, keep)
        child.subnets = [index for index in child.subnets if index in keep]
        if not child.children and not child.subnets:
            del at.children[layer]
