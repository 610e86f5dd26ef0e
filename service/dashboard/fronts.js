/** The view of fronts: what is on them, what a latency budget buys, and how to get it. */

import { apiUrl, get, getAll } from "./api.js";
import { FrontChart, SERIES_STYLES, marker, pointKey } from "./chart.js";
import { downloadLink, empty, h, svg, table } from "./dom.js";
import { NONE, count, percent, short } from "./format.js";
import { Selection } from "./selection.js";
import { trust } from "./trust.js";

const POLL_MS = 5000;
const COLUMNS = [
  ["Subnet", "id"], ["Top-1 (val)", "number"], ["Top-1 (test)", "number"], ["Measured (ms)", "number"],
  ["Predicted (ms)", "number"], ["90 % interval", "number"], ["MACs", "number"], ["Params", "number"], ["Study", "id"],
];

export function showFronts(main, context) {
  const view = new FrontsView(main, context);
  context.poll(() => view.refresh(), POLL_MS);
}

class FrontsView {
  constructor(main, context) {
    this.main = main;
    this.context = context;
    const { params } = context;
    this.chosen = { supernet: params.get("supernet"), device: params.get("device"), study: params.get("study") };
    this.budget = positive(params.get("max_latency_ms"));
    this.selected = params.get("subnet");
    this.studies = [];
    this.series = [];
    this.front = [];
    this.seen = "";
    this.chart = new FrontChart((point) => this.select(point.subnet_id));
    this.selection = new Selection(context);
    this.pickers = h("div.pickers");
    this.controls = h("form.controls", { onsubmit: (event) => event.preventDefault() }, this.pickers, this.budgetField());
    this.turn = 0;
    this.answer = h("p.answer", { "aria-live": "polite" });
    this.trust = h("div.trust");
    this.legend = h("ul.legend");
    this.list = h("div");
    const chart = h("section.panel", { "aria-label": "Chart" }, this.legend, this.chart.element, this.answer, this.trust);
    const parts = [h("h1", {}, "Pareto fronts"), this.controls, chart, this.selection.element, this.list];
    this.layout = h("div", {}, parts);
  }

  /** Ask for what is chosen; draw only what changed, so that focus and scrolling stay. */
  async refresh() {
    const { signal } = this.context;
    const turn = ++this.turn;
    const studies = (await getAll("/studies", {}, { signal })).filter((study) => study.supernet && study.device);
    if (!studies.length) {
      this.main.replaceChildren(h("h1", {}, "Pareto fronts"), await nothingYet(signal));
      return;
    }
    this.settle(studies);
    const { supernet, device, study } = this.chosen;
    const shown = this.studies.filter((item) => !study || item.id === study).slice(0, SERIES_STYLES);
    const [front, ...fronts] = await Promise.all([
      get("/fronts", { supernet, device, study }, { signal }),
      ...shown.map((item) => get("/fronts", { study: item.id }, { signal })),
    ]);
    const seen = JSON.stringify([studies, this.chosen, front, fronts]);
    if (seen === this.seen || signal.aborted || turn !== this.turn) return;
    this.seen = seen;
    this.front = front.points;
    this.trust.replaceChildren(...trust(front));
    this.series = shown.map((item, index) => ({ study: item, style: index, points: fronts[index].points }));
    if (!this.layout.isConnected) this.main.replaceChildren(this.layout);
    this.drawPickers(studies);
    this.draw();
  }

  /** Keep what is chosen where it exists; else take that of the newest study. */
  settle(studies) {
    const { chosen } = this;
    if (!studies.some((item) => item.supernet === chosen.supernet)) chosen.supernet = studies[0].supernet;
    const ofSupernet = studies.filter((item) => item.supernet === chosen.supernet);
    if (!ofSupernet.some((item) => item.device === chosen.device)) chosen.device = ofSupernet[0].device;
    this.studies = ofSupernet.filter((item) => item.device === chosen.device);
    if (!this.studies.some((item) => item.id === chosen.study)) chosen.study = null;
  }

  drawPickers(studies) {
    const supernets = unique(studies.map((item) => item.supernet));
    const devices = unique(studies.filter((s) => s.supernet === this.chosen.supernet).map((s) => s.device));
    const names = this.studies.map((item) => [item.id, `${item.id} (${item.searcher})`]);
    const choices = [
      this.picker("Supernet", "supernet", supernets.map((name) => [name, name])),
      this.picker("Device", "device", devices.map((name) => [name, name])),
      this.picker("Study", "study", [["", "All, merged"], ...names]),
    ];
    const focused = this.pickers.contains(document.activeElement) ? document.activeElement.id : null;
    this.pickers.replaceChildren(...choices);
    if (focused) document.getElementById(focused)?.focus();
  }

  picker(label, field, options) {
    const id = `choose-${field}`;
    const now = this.chosen[field] ?? "";
    const items = options.map(([value, text]) => h("option", { value, selected: value === now }, text));
    const change = (event) => {
      this.chosen[field] = event.target.value || null;
      this.remember();
      this.refresh().catch(this.context.fail);
    };
    return h("div.field", {}, h("label", { for: id }, label), h("select", { id, onchange: change }, items));
  }

  budgetField() {
    const kind = { type: "number", min: "0", step: "any", inputmode: "decimal", placeholder: "any" };
    const input = h("input", { id: "budget", ...kind, value: this.budget ?? "" });
    input.addEventListener("input", () => {
      this.budget = positive(input.value);
      this.remember();
      this.draw();
    });
    return h("div.field", {}, h("label", { for: "budget" }, "Latency at most (ms)"), input);
  }

  draw() {
    this.drawLegend();
    this.chart.update({ series: this.series, budget: this.budget, selected: this.selected });
    this.drawAnswer();
    this.drawTable();
    const everywhere = [...this.front, ...this.series.flatMap((item) => item.points)];
    this.selection.show(everywhere.find((point) => point.subnet_id === this.selected) ?? null);
  }

  drawLegend() {
    const studies = this.series.map(({ study, style, points }) =>
      h("li", {}, key(style, true), ` ${study.id} · ${study.searcher} · ${points.length} points`),
    );
    const hidden = this.chosen.study ? 0 : this.studies.length - this.series.length;
    const more = hidden ? [h("li", {}, `${hidden} older studies are in the table only`)] : [];
    const source = h("li.quiet", {}, "filled: measured · hollow: predicted, with its 90 % interval");
    this.legend.replaceChildren(...studies, ...more, source);
  }

  drawAnswer() {
    const within = this.within();
    const limit = this.budget === null ? "Most accurate" : `Best under ${short(this.budget)} ms`;
    if (!this.front.length) {
      this.answer.replaceChildren("No point yet: the search has just begun, or nothing meets its constraints.");
    } else if (!within.length) {
      const [nearest] = this.front;
      const text = `Nothing is under ${short(this.budget)} ms; the fastest takes ${short(nearest.latency_ms)} ms: `;
      this.answer.replaceChildren(text, this.chooser(nearest));
    } else {
      const { top1 } = within[within.length - 1];
      const best = within.find((point) => point.top1 === top1); // the first of equals, as the API answers
      const score = h("strong", {}, `${percent(best.top1)} top-1${isPredicted(best) ? " (predicted)" : ""}`);
      const cost = ` at ${short(best.latency_ms)} ms (${best.latency_source}): `;
      this.answer.replaceChildren(`${limit}: `, score, cost, this.chooser(best));
    }
  }

  drawTable() {
    const focused = this.list.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    const scrolled = this.list.querySelector(".scroll")?.scrollLeft ?? 0;
    const within = this.within();
    const { supernet, device, study } = this.chosen;
    const url = apiUrl("/fronts", { supernet, device, study, max_latency_ms: this.budget, format: "csv" });
    const csv = downloadLink("Download CSV", url, `front-${supernet}-${device}.csv`, this.context.fail);
    const grid = table("Points of the front, fastest first", COLUMNS, within.map((point) => this.cells(point)));
    grid.querySelectorAll("tbody tr").forEach((row, index) => {
      row.classList.toggle("selected", within[index].subnet_id === this.selected);
      row.addEventListener("click", () => this.select(within[index].subnet_id));
    });
    const title = h("div.bar", {}, h("h2", {}, `${within.length} of ${this.front.length} points`), csv);
    this.list.replaceChildren(title, grid);
    grid.scrollLeft = scrolled;
    if (focused) [...grid.querySelectorAll("button")].find((button) => button.dataset.key === focused)?.focus();
  }

  cells(point) {
    const { latency_low_ms: low, latency_high_ms: high } = point;
    return [
      this.chooser(point), `${isPredicted(point) ? "≈ " : ""}${percent(point.top1)}`, percent(point.test_top1),
      short(point.measured_latency_ms),
      short(point.predicted_latency_ms), low === null || high === null ? NONE : `${short(low)} – ${short(high)}`,
      count(point.values.macs), count(point.values.params), point.study_id,
    ];
  }

  chooser(point) {
    const pressed = String(point.subnet_id === this.selected);
    const props = { type: "button", "aria-pressed": pressed, "data-key": pointKey(point) };
    const onclick = (event) => {
      event.stopPropagation(); // the row around it selects as well
      this.select(point.subnet_id);
    };
    return h("button.link", { ...props, onclick }, point.subnet_id);
  }

  /** Points of the front within the budget, ever slower and better. */
  within() {
    return this.front.filter((point) => this.budget === null || point.latency_ms <= this.budget);
  }

  select(subnet) {
    this.selected = subnet;
    this.remember();
    this.draw();
  }

  remember() {
    this.context.remember({ ...this.chosen, max_latency_ms: this.budget, subnet: this.selected });
  }
}

async function nothingYet(signal) {
  const lists = ["/supernets", "/predictors"].map((path) => get(path, { limit: 1 }, { signal }));
  const [supernets, predictors] = await Promise.all(lists);
  if (!supernets.items.length) return empty("No supernet yet. Train one first:", "nas train --data digits");
  if (!predictors.items.length) return empty("No device measured yet. Measure this one:", "nas profile --device here");
  return empty("No search yet. Start one:", "nas search --device here");
}

function key(style, isMeasured) {
  const size = { viewBox: "-7 -7 14 14", width: 14, height: 14 };
  return svg("svg", { class: `key series-${style}`, ...size, "aria-hidden": "true" }, marker(style, isMeasured));
}

function positive(text) {
  const value = Number.parseFloat(text);
  return Number.isFinite(value) && value > 0 ? value : null;
}

function unique(values) {
  return [...new Set(values)];
}

function isPredicted(point) {
  return point.top1_source === "predicted";
}
