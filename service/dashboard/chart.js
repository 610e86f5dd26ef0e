/** The front as a chart: top-1 over latency, one step line a study, drawn by hand as SVG. */

import { h, svg } from "./dom.js";
import { percent, short } from "./format.js";

export const SERIES_STYLES = 6;
const MARGIN = { left: 56, right: 16, top: 14, bottom: 44 };
const HALO_RADIUS = 10;
const HIT_RADIUS = 12;
const LABEL = "Pareto front: top-1 over latency. Arrow keys move between points, Enter selects.";
const SHAPES = [
  "M-5,0a5,5 0 1,0 10,0a5,5 0 1,0 -10,0Z",
  "M-4.5,-4.5H4.5V4.5H-4.5Z",
  "M0,-5.5L5.5,4.5H-5.5Z",
  "M0,-6L6,0L0,6L-6,0Z",
  "M0,5.5L5.5,-4.5H-5.5Z",
  "M-5.5,-2.5L0,-5.5L5.5,-2.5V3L0,5.5L-5.5,3Z",
];

/** The marker of a series, for legends too. */
export function marker(series, isMeasured) {
  return svg("path", { d: SHAPES[series % SERIES_STYLES], class: `mark ${isMeasured ? "filled" : "hollow"}` });
}

/** What identifies a point in chart and table: the same subnet may be on several studies' fronts. */
export function pointKey(point) {
  return `${point.study_id}/${point.number}`;
}

/** One sentence with everything a point says, for tooltips and screen readers. */
export function describe(point) {
  const interval = `${short(point.latency_low_ms)} to ${short(point.latency_high_ms)} ms at 90 %`;
  const parts = [
    `${point.subnet_id}`,
    `top-1 ${percent(point.top1)} (${point.top1_source === "predicted" ? "predicted" : "validation"})`,
    point.test_top1 === null ? null : `${percent(point.test_top1)} (test)`,
    point.measured_latency_ms === null ? null : `${short(point.measured_latency_ms)} ms measured`,
    point.predicted_latency_ms === null ? null : `${short(point.predicted_latency_ms)} ms predicted`,
    point.latency_low_ms === null ? null : interval,
    `study ${point.study_id}`,
  ];
  return parts.filter((part) => part !== null);
}

export class FrontChart {
  /** `onSelect` gets the point that was clicked, or chosen by Enter or space. */
  constructor(onSelect) {
    this.onSelect = onSelect;
    this.tooltip = h("div.tooltip", { hidden: true, "aria-hidden": "true" });
    this.canvas = h("div.canvas");
    this.element = h("div.chart", {}, this.canvas, this.tooltip);
    this.state = { series: [], budget: null, selected: null };
    this.marks = [];
    this.focusKey = null;
    this.width = 0;
    new ResizeObserver(() => {
      if (this.element.clientWidth !== this.width) this.draw();
    }).observe(this.element);
  }

  /** `series`: lists of points by latency, one list a study; `budget` in ms or null; `selected`: a subnet id. */
  update(state) {
    this.state = state;
    this.draw();
  }

  draw() {
    const width = this.element.clientWidth;
    this.width = width;
    const points = this.state.series.flatMap((series) => series.points);
    if (!width || !points.length) {
      this.canvas.replaceChildren();
      return;
    }
    const height = Math.round(Math.min(420, Math.max(260, 0.52 * width)));
    const scale = makeScale(points, this.state.budget, width, height);
    const hadFocus = this.canvas.contains(document.activeElement);
    const viewBox = `0 0 ${width} ${height}`;
    const image = svg("svg", { viewBox, width, height, role: "group", "aria-label": LABEL });
    image.append(axes(scale), ...this.budgetLine(scale));
    image.append(...this.state.series.map((series) => stepLine(series, scale)));
    this.marks = this.state.series
      .flatMap(({ points: own, style }) => own.map((point) => this.mark(point, style, scale)))
      .sort((a, b) => a.point.latency_ms - b.point.latency_ms);
    image.append(...this.marks.map(({ node }) => node));
    image.addEventListener("keydown", (event) => this.onKey(event));
    this.canvas.replaceChildren(image);
    this.tooltip.hidden = true;
    const target = this.marks.find((mark) => mark.key === this.focusKey) ?? this.marks[0];
    target.node.setAttribute("tabindex", "0");
    if (hadFocus) target.node.focus();
  }

  budgetLine(scale) {
    const { budget } = this.state;
    if (budget === null || budget > scale.xMax) return [];
    const x = scale.x(budget);
    const isRight = x > (scale.left + scale.right) / 2;
    const at = { x: x + (isRight ? -6 : 6), y: scale.bottom - 8, "text-anchor": isRight ? "end" : "start" };
    return [
      svg("rect.beyond", { x, y: scale.top, width: scale.right - x, height: scale.bottom - scale.top }),
      svg("line.budget", { x1: x, x2: x, y1: scale.top, y2: scale.bottom }),
      svg("text.budget-label", at, `≤ ${short(budget)} ms`),
    ];
  }

  mark(point, style, scale) {
    const key = pointKey(point);
    const isMeasured = point.latency_source === "measured";
    const isSelected = point.subnet_id === this.state.selected;
    const isBeyond = this.state.budget !== null && point.latency_ms > this.state.budget;
    const [x, y] = [scale.x(point.latency_ms), scale.y(point.top1)];
    const node = svg("g", {
      class: `point series-${style}${isSelected ? " selected" : ""}${isBeyond ? " out" : ""}`,
      transform: `translate(${x},${y})`, tabindex: "-1", role: "button",
      "aria-label": describe(point).join(", "), "aria-pressed": String(isSelected), "data-subnet": point.subnet_id,
      onclick: () => this.select(point, key),
      onpointerenter: () => this.tell(point, x, y),
      onpointerleave: () => { this.tooltip.hidden = true; },
      onfocus: () => { this.focusKey = key; this.tell(point, x, y); },
      onblur: () => { this.tooltip.hidden = true; },
    });
    if (!isMeasured && point.latency_low_ms !== null && point.latency_high_ms !== null) {
      node.append(whisker(scale.x(point.latency_low_ms) - x, scale.x(point.latency_high_ms) - x));
    }
    const areas = [svg("circle.hit", { r: HIT_RADIUS }), svg("circle.halo", { r: HALO_RADIUS })];
    node.append(...areas, marker(style, isMeasured));
    return { key, point, node };
  }

  select(point, key) {
    this.focusKey = key;
    this.onSelect(point);
  }

  tell(point, x, y) {
    const [id, ...facts] = describe(point);
    this.tooltip.replaceChildren(h("strong", {}, id), ...facts.map((fact) => h("div", {}, fact)));
    this.tooltip.hidden = false;
    const room = this.element.clientWidth - this.tooltip.offsetWidth;
    this.tooltip.style.left = `${Math.max(0, Math.min(room, x - this.tooltip.offsetWidth / 2))}px`;
    const above = y - this.tooltip.offsetHeight - 14;
    this.tooltip.style.top = `${above >= 0 ? above : y + 16}px`;
  }

  onKey(event) {
    const at = this.marks.findIndex(({ node }) => node === event.target);
    if (at < 0) return;
    const last = this.marks.length - 1;
    const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, Home: -at, End: last - at }[event.key];
    if (step !== undefined) {
      event.preventDefault();
      const next = this.marks[Math.min(last, Math.max(0, at + step))];
      this.marks[at].node.setAttribute("tabindex", "-1");
      next.node.setAttribute("tabindex", "0");
      next.node.focus();
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.select(this.marks[at].point, this.marks[at].key);
    } else if (event.key === "Escape") {
      this.tooltip.hidden = true;
    }
  }
}

function makeScale(points, budget, width, height) {
  const latencies = points.flatMap((point) => {
    const own = point.latency_ms;
    const { latency_low_ms: low, latency_high_ms: high } = point;
    return point.latency_source === "measured" ? [own] : [own, low ?? own, high ?? own];
  });
  if (budget !== null && budget < Math.min(...latencies)) latencies.push(budget);
  const [xMin, xMax] = padded(latencies);
  const [yMin, yMax] = padded(points.map((p) => p.top1));
  const [left, right, top, bottom] = [MARGIN.left, width - MARGIN.right, MARGIN.top, height - MARGIN.bottom];
  return {
    left, right, top, bottom, xMin, xMax, yMin, yMax,
    x: (value) => left + ((value - xMin) / (xMax - xMin)) * (right - left),
    y: (value) => bottom - ((value - yMin) / (yMax - yMin)) * (bottom - top),
  };
}

function padded(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const pad = 0.06 * (high - low) || 0.05 * Math.abs(high) || 0.5;
  return [low - pad, high + pad];
}

/** Round numbers within [low, high], about `wanted` of them. */
export function ticks(low, high, wanted) {
  const raw = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= raw);
  const found = [];
  for (let index = Math.ceil(low / step); index * step <= high; index += 1) {
    found.push(Number((index * step).toPrecision(12)));
  }
  return { values: found, step };
}

function axes(scale) {
  const group = svg("g.axes", { "aria-hidden": "true" });
  const across = ticks(scale.xMin, scale.xMax, Math.max(2, (scale.right - scale.left) / 90));
  const up = ticks(scale.yMin, scale.yMax, Math.max(2, (scale.bottom - scale.top) / 45));
  const digits = Math.max(0, Math.ceil(-Math.log10(up.step) - 2));
  for (const value of up.values) {
    const y = scale.y(value);
    group.append(svg("line.grid", { x1: scale.left, x2: scale.right, y1: y, y2: y }));
    group.append(svg("text", { x: scale.left - 8, y: y + 4, "text-anchor": "end" }, percent(value, digits)));
  }
  for (const value of across.values) {
    const x = scale.x(value);
    group.append(svg("line.grid", { x1: x, x2: x, y1: scale.top, y2: scale.bottom }));
    group.append(svg("text", { x, y: scale.bottom + 18, "text-anchor": "middle" }, short(value)));
  }
  group.append(
    svg("line.frame", { x1: scale.left, x2: scale.right, y1: scale.bottom, y2: scale.bottom }),
    svg("text.title", { x: scale.right, y: scale.bottom + 36, "text-anchor": "end" }, "latency (ms)"),
  );
  return group;
}

/** Best top-1 so far as latency grows: the line of what a budget buys. */
function stepLine({ points, style }, scale) {
  const steps = points.map((point, index) => {
    const [x, y] = [scale.x(point.latency_ms), scale.y(point.top1)];
    return index ? `H${x}V${y}` : `M${x},${y}`;
  });
  return svg("path", { d: `${steps.join("")}H${scale.right}`, class: `step series-${style}`, "aria-hidden": "true" });
}

function whisker(low, high) {
  return svg("path.whisker", { d: `M${low},0H${high}M${low},-3V3M${high},-3V3` });
}
