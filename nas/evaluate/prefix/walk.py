"""Depth first through a trie, keeping the outputs of branching layers as far as memory allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from nas.evaluate.prefix.trie import Node, Root


@dataclass(slots=True)
class _Kept:
    """An output that ``pending`` paths still start from."""

    tensor: Tensor
    pending: int
    nbytes: int


def walk(
    root: Root,
    x: Tensor,
    *,
    run: Callable[[Node, Tensor], Tensor],
    leaf: Callable[[Node, Tensor], None],
    limit: int,
) -> int:
    """Give every leaf its output; returns the largest number of bytes that were kept at a time.

    ``run`` computes a node's output from its input. Where a path branches, the output is kept
    until the last branch has started from it. When it does not fit within ``limit`` bytes, the
    first branch goes on with it and each other one computes it again from the last output that
    is kept, in the end from ``x``, the input of the trie. ``run`` may thus meet a node more than
    once. Neither ``x``, which is the caller's, nor the one output at hand counts as kept.
    """
    start = _Kept(x, len(root.children), 0)
    stack: list[tuple[_Kept, tuple[Node, ...]]] = [(start, (node,)) for node in root.children.values()]
    held = peak = 0
    while stack:
        kept, path = stack.pop()
        kept.pending -= 1
        x = kept.tensor
        for node in path:
            x = run(node, x)
        while children := list(path[-1].children.values()):
            others = children[1:]
            if others and held - (0 if kept.pending else kept.nbytes) + x.nbytes <= limit:
                if not kept.pending:
                    held -= kept.nbytes
                kept, path = _Kept(x, len(others), x.nbytes), ()
                held += kept.nbytes
                peak = max(peak, held)
            else:
                kept.pending += len(others)
            stack += [(kept, (*path, child)) for child in others]
            path = (*path, children[0])
            x = run(children[0], x)
        leaf(path[-1], x)
        if not kept.pending:
            held -= kept.nbytes
    return peak
