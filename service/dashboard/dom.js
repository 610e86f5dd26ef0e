/** Elements of the page. Strings only ever become text nodes or attributes, never markup. */

import { fetchBlob } from "./api.js";

const SVG = "http://www.w3.org/2000/svg";

/** `h("a.link", { href }, "text", child)`; properties that start with "on" are listeners. */
export function h(name, props = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  return fill(document.createElement(tag), classes, props, children);
}

/** As `h`, for SVG. */
export function svg(name, props = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  return fill(document.createElementNS(SVG, tag), classes, props, children);
}

function fill(element, classes, props, children) {
  if (classes.length) element.setAttribute("class", classes.join(" "));
  for (const [key, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** A table in a box that scrolls sideways. `columns` are [title, class] pairs, `rows` arrays of cells. */
export function table(label, columns, rows) {
  const head = columns.map(([title, kind]) => h("th", { scope: "col", class: kind }, title));
  const body = rows.map((cells) =>
    h("tr", {}, cells.map((cell, index) => h("td", { class: columns[index][1] }, cell))),
  );
  const inner = h("table", {}, h("caption.hidden", {}, label), h("thead", {}, h("tr", {}, head)), h("tbody", {}, body));
  return h("div.scroll", { tabindex: 0, role: "region", "aria-label": label }, inner);
}

/** What to do where there is nothing to show yet. `commands` are lines for a shell. */
export function empty(text, ...commands) {
  const lines = commands.map((command) => h("code.command", {}, command));
  return h("div.panel.empty", {}, h("p", {}, text), lines);
}

/** A link to a file of the API that works with a token too; `onError` gets what went wrong. */
export function downloadLink(text, url, name, onError) {
  const link = h("a", { href: url, download: name }, text);
  link.addEventListener("click", async (event) => {
    event.preventDefault();
    try {
      const blob = URL.createObjectURL(await fetchBlob(url));
      h("a", { href: blob, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(blob), 60_000);
    } catch (error) {
      onError(error);
    }
  });
  return link;
}

/** A moment in the reader's own time zone and words. */
export function moment(text) {
  const date = new Date(text);
  const shown = date.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  return h("time", { datetime: text, title: text }, shown);
}
