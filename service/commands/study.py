"""``nas study``: what a study's evaluations say about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from service.commands.output import (
    SERVER,
    AsJson,
    Server,
    clean,
    connect,
    err,
    out,
    print_json,
    print_table,
    problems_to_exit,
    show_race,
)

TOP_LAYERS = 3  # of a front member, that a table names
EFFECT = ("excluded", "excluded_alone", "new_members", "hypervolume_gain", "binds")


def study(
    name: Annotated[str, typer.Argument(help="Id of the study.")],
    as_json: AsJson = False,
    server: Server = SERVER,
) -> None:
    """Show a study's trend, whether more budget would pay, what binds and where the time goes."""
    with problems_to_exit(), connect(server) as client:
        found = client.study_answers(name)
    if as_json:
        print_json(found)
        return
    for warning in found["warnings"]:
        err.print(f"warning: {clean(warning)}", markup=False)
    trend = found["trend"]
    out.print(
        f"{found['n_trials']} of {found['budget']} subnets evaluated, {found['n_failed']} failed; "
        f"{found['front_size']} on the front, {100 * found['measured_share']:.0f} % of them measured"
    )
    out.print(
        f"hypervolume {trend['hypervolume']:.4g}; "
        f"the last quarter of the evaluations added {100 * trend['recent_gain']:.2f} %"
    )
    out.print(_outlook(found["outlook"]))
    if found["constraints"]:
        rows = [
            [_bounds(item["constraint"]), *(item[key] for key in EFFECT)] for item in found["constraints"]
        ]
        print_table(("constraint", *EFFECT), rows)
    if found["milliseconds"]:
        rows = [[m["arch_key"], m["latency_ms"], _costly(m)] for m in found["milliseconds"]]
        print_table(("arch", "latency_ms", "most of it in (ms)"), rows)
    show_race(found["race"])


def _outlook(outlook: Mapping[str, Any]) -> str:
    if outlook["expected_gain"] is None:
        return "too few evaluations to say whether more would pay"
    if outlook["n_archs"] == 0:
        return "nothing is left to evaluate"
    verdict = "more budget would pay" if outlook["pays"] else "more budget would hardly pay"
    gain = 100 * outlook["expected_gain"]
    return f"{verdict}: {outlook['n_archs']} more are expected to add {gain:.2f} % of hypervolume"


def _bounds(constraint: Mapping[str, Any]) -> str:
    low = "" if constraint["minimum"] is None else f"{constraint['minimum']:g} <= "
    high = "" if constraint["maximum"] is None else f" <= {constraint['maximum']:g}"
    return f"{low}{constraint['metric']}{high}"


def _costly(member: Mapping[str, Any]) -> str:
    layers = sorted(member["layers"], key=lambda layer: -layer["latency_ms"])[:TOP_LAYERS]
    return ", ".join(f"{layer['slot']} {layer['latency_ms']:.3g}" for layer in layers)
