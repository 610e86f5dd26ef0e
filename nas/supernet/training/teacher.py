"""The best subnet so far, of whatever family, as a teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from searchspaces.space import Arch, SearchSpace

KEPT = 4
MOMENTUM = 0.8


class BestTeacher:
    """Keeps the ``KEPT`` subnets of lowest running training loss; the lowest one teaches.

    A subnet gets in half-way between its loss and the mean of its step, because the least of
    several noisy losses promises too much; the teacher's is updated whenever it teaches, so one
    that got in on easy images soon loses its place. Families compete with each other.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.kept: list[tuple[Arch, float]] = []

    @property
    def arch(self) -> Arch | None:
        """The subnet that teaches; None before the first step."""
        return self.kept[0][0] if self.kept else None

    def update(self, archs: Sequence[Arch], losses: Sequence[float], teacher_loss: float | None) -> None:
        """Learn the losses against labels of a step's subnets, and of the teacher if there was one."""
        running = dict(self.kept)
        if self.arch is not None and teacher_loss is not None:
            running[self.arch] = MOMENTUM * running[self.arch] + (1 - MOMENTUM) * teacher_loss
        mean = sum(losses) / len(losses)
        for arch, loss in zip(archs, losses, strict=True):
            if arch not in running:
                running[arch] = (loss + mean) / 2
            else:
                running[arch] = MOMENTUM * running[arch] + (1 - MOMENTUM) * loss
        self.kept = sorted(running.items(), key=lambda item: (item[1], item[0].genes))[:KEPT]

    def memory(self) -> Mapping[str, Any]:
        """Genes and running loss of those kept, as JSON."""
        return {"kept": [[list(arch.genes), loss] for arch, loss in self.kept]}

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Continue from a ``memory``."""
        self.kept = [(self.space.arch(genes), loss) for genes, loss in memory["kept"]]
