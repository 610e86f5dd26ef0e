"""Proxies that need no training."""

from __future__ import annotations

import math

import numpy as np

from nas.fidelity.proxies import proxies
from searchspaces.cost import cost
from searchspaces.registry import get_space
from searchspaces.space import Arch

SPACE = get_space("hybrid-tiny")


def archs(n: int) -> list[Arch]:
    rng = np.random.default_rng(0)
    return [SPACE.sample(rng) for _ in range(n)]


def test_proxies_are_the_costs_of_the_subnets() -> None:
    sample = archs(20)
    found = proxies(SPACE, sample, in_channels=1, n_classes=10)
    assert set(found) == {"params", "macs", "depth", "resolution", "log_widths"}
    for i, arch in enumerate(sample):
        spec, values = SPACE.decode(arch), SPACE.values(arch)
        assert found["params"][i] == cost(spec, in_channels=1, n_classes=10).params
        assert found["depth"][i] == sum(int(values[f"s{s}.depth"]) for s in range(4))
        assert found["resolution"][i] == spec.resolution
        product = math.prod(int(values[f"s{s}.width"]) for s in range(4))
        assert math.isclose(found["log_widths"][i], math.log(product))


def test_a_proxy_that_orders_nothing_is_left_out() -> None:
    assert proxies(SPACE, archs(1) * 3, in_channels=1, n_classes=10) == {}
