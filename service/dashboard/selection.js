/** The chosen subnet: its numbers, its architecture, and the two ways to extract it. */

import { apiUrl, get, newKey, submit } from "./api.js";
import { downloadLink, h } from "./dom.js";
import { bytes, count, duration, percent, short } from "./format.js";

const DEFAULT_ORIGIN = "http://127.0.0.1:8000";
const FORMATS = ["onnx", "pt2"];
const FINAL = ["succeeded", "failed", "cancelled"];
const WATCH_MS = 1000;

export class Selection {
  constructor(context) {
    this.context = context;
    this.element = h("section.panel.selection", { "aria-label": "Selected subnet", hidden: true });
    this.shown = "";
  }

  /** Show a point of a front, or nothing; the same point again leaves everything as it is. */
  show(point) {
    const now = JSON.stringify(point);
    if (now === this.shown) return;
    this.shown = now;
    this.element.hidden = point === null;
    this.element.replaceChildren();
    if (point === null) return;
    const facts = h("dl.facts", {}, factsOf(point));
    const layers = h("div");
    this.element.append(h("h2", {}, point.subnet_id), facts, this.extraction(point), layers);
    this.addDetails(point, facts, layers).catch(this.context.fail);
  }

  /** Cost and architecture, which the front does not carry. */
  async addDetails(point, facts, layers) {
    const { signal } = this.context;
    const subnet = await get(`/subnets/${encodeURIComponent(point.subnet_id)}`, {}, { signal });
    facts.append(
      fact("Parameters", count(subnet.cost.params)),
      fact("MACs", count(subnet.cost.macs)),
      fact("Peak memory", bytes(subnet.cost.peak_memory_bytes)),
      fact("Resolution", `${subnet.resolution} × ${subnet.resolution}`),
    );
    const values = Object.entries(subnet.values).map(([name, value]) => fact(name, String(value)));
    const summary = h("summary", {}, `Architecture (${values.length} choices)`);
    layers.append(h("details", {}, summary, h("dl.facts", {}, values)));
  }

  extraction(point) {
    const output = h("div.extract-output", { "aria-live": "polite" });
    const command = commandOf(point);
    const copy = navigator.clipboard
      ? h("button", { type: "button", onclick: (event) => copyText(command, event.currentTarget) }, "Copy")
      : null;
    const button = h("button.primary", { type: "button", id: "extract" }, "Extract here");
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        await this.extract(point, output);
      } catch (error) {
        this.context.fail(error);
      }
      button.disabled = false;
    });
    const shell = h("div.row", {}, h("code.command", {}, command), copy);
    const note = h("span.note", {}, "as a job on the server, or with the command above");
    return h("div.extraction", {}, shell, h("div.row", {}, button, note), output);
  }

  /** Submit an extract job, watch it, and link its files. */
  async extract(point, output) {
    const { signal } = this.context;
    const { subnet_id: subnet, device } = point;
    let job = await submit({ kind: "extract", subnet, formats: FORMATS, device }, newKey());
    while (!FINAL.includes(job.state)) {
      output.replaceChildren(h("p", {}, `${job.state}${progressText(job.progress)}`));
      await new Promise((resolve) => setTimeout(resolve, WATCH_MS));
      if (signal.aborted) return;
      job = await get(`/jobs/${job.id}`, {}, { signal });
    }
    if (job.state !== "succeeded") {
      output.replaceChildren(h("p.error", {}, `${job.state}: ${job.error ?? "no reason given"}`));
      return;
    }
    output.replaceChildren(await fileList(job.id, this.context));
  }
}

/** "search 20 / 100, 12 s left" of a job's progress, with a separator before it. */
export function progressText(progress) {
  if (!progress.stage) return "";
  const eta = progress.eta_s ? `, ${duration(progress.eta_s)} left` : "";
  return ` · ${progress.stage} ${progress.done} / ${progress.total}${eta}`;
}

/** Links to the files that a job stored. */
export async function fileList(jobId, context) {
  const { items } = await get(`/jobs/${jobId}/artifacts`, {}, { signal: context.signal });
  if (!items.length) return h("p.note", {}, "The job stored no files.");
  const links = items.map((file) => {
    const url = apiUrl(`/artifacts/${file.sha256}`);
    const link = downloadLink(file.name, url, file.name.split("/").pop(), context.fail);
    return h("li", {}, link, ` ${bytes(file.size)}`);
  });
  return h("ul.files", {}, links);
}

function factsOf(point) {
  const interval = `${short(point.latency_low_ms)} – ${short(point.latency_high_ms)} ms`;
  const { standalone_top1: top1, standalone_top1_low: low, standalone_top1_high: high } = point;
  const alone = `${percent(top1)} (${percent(low)} – ${percent(high)})`;
  return [
    fact(point.top1_source === "predicted" ? "Top-1 (predicted)" : "Top-1 (validation)", percent(point.top1)),
    fact("Top-1 (test)", percent(point.test_top1)),
    point.standalone_top1 === null ? null : fact("Top-1 if trained alone (predicted)", alone),
    fact("Latency measured", withUnit(point.measured_latency_ms)),
    fact("Latency predicted", withUnit(point.predicted_latency_ms)),
    point.latency_low_ms === null || point.latency_high_ms === null ? null : fact("90 % interval", interval),
    fact("Device", point.device),
  ];
}

function withUnit(latency) {
  return latency === null ? "not yet" : `${short(latency)} ms`;
}

function fact(name, value) {
  return h("div", {}, h("dt", {}, name), h("dd", {}, value));
}

function commandOf(point) {
  const formats = FORMATS.map((format) => ` --to ${format}`).join("");
  const server = location.origin === DEFAULT_ORIGIN ? "" : ` --server ${location.origin}`;
  return `nas extract ${point.subnet_id}${formats} --device ${point.device}${server}`;
}

async function copyText(text, button) {
  await navigator.clipboard.writeText(text);
  button.textContent = "Copied";
}
