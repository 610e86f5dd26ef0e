"""What answers say about the ranking of the supernets behind them."""

from __future__ import annotations

from collections.abc import Iterable

from service.schemas.fidelity import FidelityAnswer
from service.stores import Stores

UNCHECKED = (
    "the ranking of supernet {name!r} has not been checked: subnets that it ranks low may be better than "
    "those of this front; check it with `nas fidelity --supernet {name} --train-alone 30`, or against "
    "recorded accuracies with --truth FILE"
)
SEVERAL = "points are of {n} supernets, so no fidelity is given; ask for one of them with ?supernet=NAME"


def fidelity_of(names: Iterable[str], stores: Stores) -> tuple[FidelityAnswer | None, list[str]]:
    """The report of the supernet, if there is one name with a report; and a warning for each without."""
    wanted = sorted(set(names))
    found = stores.supernets.fidelity(wanted)
    warnings = [UNCHECKED.format(name=name) for name in wanted if name not in found]
    if len(wanted) > 1:
        return None, [*warnings, SEVERAL.format(n=len(wanted))]
    reports = [FidelityAnswer.model_validate(record.report.to_dict()) for record in found.values()]
    return (reports[0] if reports else None), warnings
