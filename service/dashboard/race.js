/** The curves of a race: hypervolume over a searcher's own subnets, with the spread over its seeds. */

import { h, svg } from "./dom.js";
import { short } from "./format.js";
import { SERIES_STYLES } from "./chart.js";

const WIDTH = 480;
const HEIGHT = 180;
const MARGIN = { left: 8, right: 8, top: 8, bottom: 8 };

/** A chart with a legend that says in words what the lines show; nothing for no curves. */
export function raceChart(curves) {
  const drawn = curves.filter((curve) => curve.evaluations.length);
  if (!drawn.length) return [];
  const xs = drawn.flatMap((curve) => curve.evaluations);
  const ys = drawn.flatMap((curve) => [...curve.low, ...curve.high]);
  const x = linear(0, Math.max(...xs), MARGIN.left, WIDTH - MARGIN.right);
  const y = linear(Math.min(...ys), Math.max(...ys), HEIGHT - MARGIN.bottom, MARGIN.top);
  const lines = drawn.flatMap((curve, index) => line(curve, index % SERIES_STYLES, x, y));
  const label = "Hypervolume over each searcher's own subnets";
  const chart = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label }, lines);
  return [h("figure.race", {}, chart, h("figcaption", {}, label, legend(drawn)))];
}

function line(curve, style, x, y) {
  const at = (values) => values.map((value, i) => `${x(curve.evaluations[i])},${y(value)}`);
  const band = [...at(curve.low), ...at(curve.high).reverse()].join("L");
  return [
    svg("path", { d: `M${band}Z`, class: `spread series-${style}` }),
    svg("path", { d: `M${at(curve.hypervolume).join("L")}`, class: `step series-${style}` }),
  ];
}

function legend(curves) {
  const items = curves.map((curve, index) => {
    const end = `${short(curve.hypervolume.at(-1))} after ${curve.evaluations.at(-1)}`;
    const fate = curve.dropped_after === null ? "" : ", stopped";
    const key = svg("svg", { viewBox: "0 0 16 8", width: 16, height: 8, "aria-hidden": "true" });
    key.append(svg("path", { d: "M0,4H16", class: `step series-${index % SERIES_STYLES}` }));
    return h("li", {}, key, ` ${curve.searcher}: ${end}${fate}`);
  });
  return h("ul", {}, items);
}

function linear(low, high, from, to) {
  const span = high > low ? high - low : 1;
  return (value) => from + ((value - low) / span) * (to - from);
}
