"""Which feature map fits a list of choices: a recognised family, else one for any genome."""

from __future__ import annotations

from collections.abc import Sequence

from predictors.transfer.families.cell import cell_features
from predictors.transfer.families.chain import chain_features
from predictors.transfer.families.fbnet import fbnet_features
from predictors.transfer.families.gene import Gene
from predictors.transfer.families.ofa import ofa_features
from predictors.transfer.families.widths import width_features
from predictors.transfer.tables import TableFeatures

# The most particular first; each returns None for choices that are not of its family.
FAMILIES = (cell_features, fbnet_features, ofa_features, width_features)


def table_features(genes: Sequence[Gene]) -> TableFeatures:
    """Features of genomes with these choices, by their names and values only."""
    for family in FAMILIES:
        features = family(genes)
        if features is not None:
            return features
    return chain_features(genes)
