/** How far a front can be trusted: the ranking fidelity of its supernet, or that nobody checked it. */

import { h } from "./dom.js";
import { percent } from "./format.js";

/** What to put beside a front; `answer` is the API's. */
export function trust(answer) {
  const { fidelity, warnings } = answer;
  const notes = warnings.map((text) => h("p.quiet", { role: "note" }, `Not checked: ${text}`));
  return fidelity ? [h("p.quiet", {}, sentence(fidelity)), ...notes] : notes;
}

function sentence(report) {
  const [low, high] = report.interval.spearman;
  const [proxy] = Object.entries(report.proxies).sort((a, b) => b[1].spearman - a[1].spearman);
  const beside = proxy ? ` (best proxy, ${proxy[0]}: ${two(proxy[1].spearman)})` : "";
  const correlation = `Spearman ${two(report.spearman)} [${two(low)}, ${two(high)}]${beside}`;
  const rest = `Kendall ${two(report.kendall_tau)}, over ${report.subnets} subnets; the top choice loses ${percent(report.top_regret)}`;
  return `Ranking of ${report.supernet}: ${correlation}, ${rest}. Truth: ${report.truth}.`;
}

function two(value) {
  return value.toFixed(2);
}
