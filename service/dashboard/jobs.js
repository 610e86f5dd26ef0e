/** The view of jobs: a live list with progress, errors, results and a way to stop them. */

import { get, post } from "./api.js";
import { empty, h, moment } from "./dom.js";
import { duration, percent, short } from "./format.js";
import { raceChart } from "./race.js";
import { fileList } from "./selection.js";

const POLL_MS = 2000;
const STEP = 25;
const STOPPABLE = ["pending", "running"];
const PLAIN_PROGRESS = ["stage", "done", "total", "eta_s"];

export function showJobs(main, context) {
  const view = new JobsView(main, context);
  context.poll(() => view.refresh(), POLL_MS);
}

class JobsView {
  constructor(main, context) {
    this.main = main;
    this.context = context;
    this.limit = STEP;
    this.cards = new Map();
    this.list = h("ul.jobs");
    this.more = h("button", { type: "button", hidden: true, onclick: () => this.showOlder() }, "Show older jobs");
    this.layout = h("div", {}, h("h1", {}, "Jobs"), this.list, this.more);
  }

  /** Cards are kept and changed in place, so that focus and open details stay. */
  async refresh() {
    const { signal } = this.context;
    const page = await get("/jobs", { limit: this.limit }, { signal });
    if (signal.aborted) return;
    if (!page.items.length) {
      const hint = empty("No job yet. Train a supernet to begin:", "nas train --data digits");
      this.main.replaceChildren(h("h1", {}, "Jobs"), hint);
      return;
    }
    page.items.forEach((job, index) => {
      const card = this.cards.get(job.id) ?? new JobCard(job, this.context, () => this.refresh());
      this.cards.set(job.id, card);
      card.update(job);
      const place = this.list.children[index] ?? null;
      if (place !== card.element) this.list.insertBefore(card.element, place);
    });
    while (this.list.children.length > page.items.length) this.list.lastChild.remove();
    this.more.hidden = !page.next_cursor;
    if (!this.layout.isConnected) this.main.replaceChildren(this.layout);
  }

  showOlder() {
    this.limit = Math.min(1000, this.limit + STEP);
    this.refresh().catch(this.context.fail);
  }
}

class JobCard {
  constructor(job, context, refresh) {
    this.context = context;
    this.updated = "";
    this.state = h("span.state");
    this.bar = h("progress", { "aria-label": "Progress", hidden: true });
    this.progress = h("p.progress-text");
    this.error = h("p.error", { hidden: true });
    this.result = h("div.result");
    const label = `Cancel ${job.kind} job ${job.id}`;
    this.cancel = h("button", { type: "button", hidden: true, "aria-label": label }, "Cancel");
    this.cancel.addEventListener("click", () => this.stop(job.id, refresh));
    const title = h("h2", {}, job.kind, " ", h("span.subject", {}, subjectOf(job)));
    const foot = h("p.note", {}, h("code", {}, job.id), " · ", moment(job.created_at));
    this.attempts = h("span");
    foot.append(this.attempts);
    const head = h("div.bar", {}, title, this.state, this.cancel);
    const parts = [head, this.bar, this.progress, this.error, this.result, foot];
    this.element = h("li.panel.job", { "data-job": job.id }, parts);
  }

  async stop(id, refresh) {
    this.cancel.disabled = true;
    try {
      await post(`/jobs/${id}:cancel`);
      await refresh();
    } catch (error) {
      this.context.fail(error);
      this.cancel.disabled = false;
    }
  }

  update(job) {
    const now = JSON.stringify(job);
    if (now === this.updated) return;
    this.updated = now;
    this.state.textContent = job.state;
    this.state.className = `state ${job.state}`;
    this.cancel.hidden = !STOPPABLE.includes(job.state);
    this.drawProgress(job);
    this.error.hidden = !job.error;
    this.error.textContent = job.error ?? "";
    this.attempts.textContent = job.attempts > 1 ? ` · attempt ${job.attempts}` : "";
    if (job.state === "succeeded") this.result.replaceChildren(...resultOf(job, this.context));
  }

  drawProgress(job) {
    const { stage, done, total } = job.progress;
    const isShown = Boolean(stage) && ["running", "cancelling", "pending"].includes(job.state);
    this.bar.hidden = !isShown;
    this.progress.hidden = !isShown;
    if (!isShown) return;
    this.bar.max = Math.max(1, total);
    this.bar.value = done;
    const numbers = Object.entries(job.progress).filter(([name]) => !PLAIN_PROGRESS.includes(name));
    const eta = job.progress.eta_s ? [`${duration(job.progress.eta_s)} left`] : [];
    const texts = numbers.map(([name, value]) => `${name} ${typeof value === "number" ? short(value) : value}`);
    this.progress.textContent = [`${stage} ${done} / ${total}`, ...eta, ...texts].join(" · ");
  }
}

/** What a job is about, e.g. "digits on myhost-onnxruntime". */
function subjectOf({ payload }) {
  const { subnet, supernet, device } = payload;
  const what = typeof subnet === "string" ? subnet : (subnet?.supernet ?? supernet ?? "");
  return device ? `${what} on ${device}` : what;
}

function resultOf(job, context) {
  const { result } = job;
  if (job.kind === "search" && result?.study) {
    const { supernet, device } = job.payload;
    const query = new URLSearchParams({ supernet, device, study: result.study });
    const text = `${result.n_trials} subnets, ${result.front_size} on the front: `;
    const link = h("a", { href: `#/fronts?${query}` }, `study ${result.study}`);
    return [h("p", {}, text, link), ...raceChart(result.race ?? [])];
  }
  if (job.kind === "train" && result?.metrics) return [h("p", {}, metricsText(result.metrics))];
  if (job.kind === "profile" && result?.quality) return [h("p", {}, metricsText(result.quality))];
  if (job.kind === "extract") return [files(job.id, context)];
  return [];
}

/** The job's files, asked for when the reader wants them. */
function files(jobId, context) {
  const details = h("details", {}, h("summary", {}, "Files"));
  const load = async () => {
    if (!details.open || details.children.length > 1) return;
    try {
      details.append(await fileList(jobId, context));
    } catch (error) {
      context.fail(error);
    }
  };
  details.addEventListener("toggle", load);
  return details;
}

function metricsText(metrics) {
  return Object.entries(metrics)
    .map(([name, value]) => `${name} ${name.startsWith("top1") ? percent(value) : short(value)}`)
    .join(" · ");
}
