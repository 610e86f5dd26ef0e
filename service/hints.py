"""What a supernet's training tells its searches; loads neither torch nor ray."""

from __future__ import annotations

from pathlib import Path

from predictors.accuracy.effects import ChoiceEffects, has_effects
from searchspaces.space import SearchSpace


def hints_in(folder: Path, space: SearchSpace, digest: str) -> tuple[ChoiceEffects, ...]:
    """The effects of choices in a supernet's folder; none for supernets of earlier versions.

    ``digest`` is that of the weights. Raises CorruptFitError, which names the file.
    """
    return (ChoiceEffects.load(folder, space, digest),) if has_effects(folder) else ()
