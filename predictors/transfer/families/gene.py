"""Gene: the name and the options of one choice, and reading them from JSON."""

from __future__ import annotations

from dataclasses import dataclass

from predictors.errors import InvalidValueError
from searchspaces.space import Value


@dataclass(frozen=True, slots=True)
class Gene:
    """One choice of a genome: option i of it is ``values[i]``."""

    name: str
    values: tuple[Value, ...]

    @property
    def numeric(self) -> bool:
        """Whether every option is a number."""
        return all(isinstance(value, int | float) for value in self.values)


def read_genes(document: object) -> tuple[Gene, ...]:
    """Genes of ``[{"name", "values"}, …]`` as parsed from JSON; raises InvalidValueError otherwise."""
    if not isinstance(document, list) or not document:
        raise InvalidValueError(f"choices must be a non-empty list; got {document!r:.80}")
    genes = []
    for item in document:
        if not isinstance(item, dict) or not isinstance(item.get("name"), str):
            raise InvalidValueError(
                f"each of choices must be an object with name and values; got {item!r:.80}"
            )
        values = item.get("values")
        if not isinstance(values, list) or not values:
            raise InvalidValueError(f"values of choice {item['name']!r} must be a non-empty list")
        genes.append(Gene(item["name"], tuple(values)))
    return tuple(genes)
