/** Routes between views by the URL's hash, asks for a token after a 401, keeps polls in one place. */

import { hasToken, setToken } from "./api.js";
import { showDevices, showSupernets } from "./catalog.js";
import { showFronts } from "./fronts.js";
import { showJobs } from "./jobs.js";

const VIEWS = { fronts: showFronts, jobs: showJobs, devices: showDevices, supernets: showSupernets };
const RETRY_MS = 3000;
const main = document.getElementById("main");
const notice = document.getElementById("notice");
const tokenForm = document.getElementById("token-form");
const tokenNote = document.getElementById("token-note");
const tokenField = document.getElementById("token");
let current = new AbortController();
let shownView = null;

/** The view's name and parameters in `#/fronts?device=x`. */
function route() {
  const [name, query] = location.hash.replace(/^#\//, "").split("?");
  return { name: name in VIEWS ? name : "fronts", params: new URLSearchParams(query) };
}

function open() {
  current.abort();
  current = new AbortController();
  const { name, params } = route();
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#/${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${name[0].toUpperCase()}${name.slice(1)} · StitchNAS`;
  notice.hidden = true;
  if (shownView !== name) main.replaceChildren();
  shownView = name;
  VIEWS[name](main, contextOf(name, params, current.signal));
}

/** What a view gets: its parameters, and how to poll, to fail and to be found again. */
function contextOf(name, params, signal) {
  return {
    params,
    signal,
    fail: (error) => fail(error, signal),
    /** Run `work` now and then every `period` ms while the view is shown and the tab is visible. */
    poll: (work, period) => poll(work, period, signal),
    /** Keep the view's state in the URL, so that a reload or a shared link shows the same. */
    remember: (values) => {
      const kept = Object.entries(values).filter(([, value]) => value);
      const query = new URLSearchParams(kept).toString();
      history.replaceState(null, "", `#/${name}${query ? `?${query}` : ""}`);
    },
  };
}

async function poll(work, period, signal) {
  let isFirst = true;
  while (!signal.aborted) {
    let pause = period;
    if (isFirst || !document.hidden) {
      try {
        await work();
        if (signal.aborted) return;
        notice.hidden = true;
        isFirst = false;
      } catch (error) {
        fail(error, signal);
        if (error.status >= 400 && error.status < 500) return;
        pause = RETRY_MS;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

function fail(error, signal) {
  if (signal.aborted || error.name === "AbortError") return;
  if (error.status === undefined) throw error;
  if (error.status === 401) {
    askForToken();
    return;
  }
  notice.textContent = error.message;
  notice.hidden = false;
}

function askForToken() {
  tokenNote.textContent = hasToken()
    ? "The server refused this token."
    : "The value of NAS_TOKEN. It is kept until this tab is closed.";
  tokenForm.hidden = false;
  tokenField.focus();
}

tokenForm.addEventListener("submit", (event) => {
  event.preventDefault();
  setToken(tokenField.value);
  tokenField.value = "";
  tokenForm.hidden = true;
  open();
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
window.addEventListener("hashchange", () => {
  if (!location.hash.startsWith("#/")) return;
  open();
  main.focus();
});
open();
