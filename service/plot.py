"""Pareto fronts as charts: one Vega-Lite specification for HTML, PNG and notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

WIDTH, HEIGHT = 640, 400


FIELDS = ("study_id", "subnet_id", "top1", "top1_source", "test_top1", "latency_ms", "latency_source")
INTERVAL = ("latency_low_ms", "latency_high_ms")


def front_chart(points: Sequence[Mapping[str, Any]], *, title: str) -> dict[str, Any]:
    """Vega-Lite specification of accuracy over latency, one colour a study, intervals as rules.

    ``points`` are front points as the API returns them. Accuracies that no image has confirmed are
    named as predicted.
    """
    rows = [{field: point[field] for field in (*FIELDS, *INTERVAL)} for point in points]
    predicted = any(point["top1_source"] == "predicted" for point in points)
    latency = {"field": "latency_ms", "type": "quantitative", "title": "latency (ms)"}
    accuracy = {
        "field": "top1",
        "type": "quantitative",
        "title": "predicted top-1" if predicted else "validation top-1",
        "scale": {"zero": False},
        "axis": {"format": ".1%"},
    }
    colour = {"field": "study_id", "type": "nominal", "title": "study"}
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "title": title,
        "width": WIDTH,
        "height": HEIGHT,
        "data": {"values": rows},
        "encoding": {"y": accuracy, "color": colour},
        "layer": [
            {
                "mark": {"type": "line", "interpolate": "step-after", "opacity": 0.5},
                "encoding": {"x": latency},
            },
            {
                "mark": {"type": "rule", "opacity": 0.35},
                "encoding": {
                    "x": {"field": INTERVAL[0], "type": "quantitative"},
                    "x2": {"field": INTERVAL[1]},
                },
            },
            {
                "mark": {"type": "point", "filled": True, "size": 70, "tooltip": {"content": "data"}},
                "encoding": {"x": latency, "shape": {"field": "latency_source", "title": "latency is"}},
            },
        ],
    }


def write_html(chart: dict[str, Any], path: Path) -> None:
    """A page that needs no network: the chart's library is inside it."""
    import vl_convert

    path.write_text(vl_convert.vegalite_to_html(chart, bundle=True))


def write_png(chart: dict[str, Any], path: Path) -> None:
    """The chart at twice the pixels of its size."""
    import vl_convert

    path.write_bytes(vl_convert.vegalite_to_png(chart, scale=2))
