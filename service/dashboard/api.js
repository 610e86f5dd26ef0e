/** The HTTP API: JSON in and out, the token, downloads. Nothing here touches the page. */

const PREFIX = "/api/v1";
const TOKEN_KEY = "nas-token";
const MAX_PAGES = 20;

/** An answer that is no success, or no answer at all (status 0). */
export class ApiError extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `HTTP ${status}`);
    this.status = status;
    this.problem = problem;
  }
}

export function setToken(token) {
  sessionStorage.setItem(TOKEN_KEY, token);
}

export function hasToken() {
  return sessionStorage.getItem(TOKEN_KEY) !== null;
}

/** `/api/v1/fronts?device=x` from a path and parameters; empty ones are left out. */
export function apiUrl(path, params = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== null && value !== undefined && value !== "") query.set(name, value);
  }
  const text = query.toString();
  return PREFIX + path + (text ? `?${text}` : "");
}

export async function get(path, params, { signal } = {}) {
  return (await send(apiUrl(path, params), { signal })).json();
}

/** Items of all pages of a list, up to a bound that no screen could show. */
export async function getAll(path, params, { signal } = {}) {
  const items = [];
  let cursor = null;
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const answer = await get(path, { ...params, limit: 100, cursor }, { signal });
    items.push(...answer.items);
    cursor = answer.next_cursor;
    if (!cursor) break;
  }
  return items;
}

/** POST without a body, e.g. a cancellation. */
export async function post(path) {
  return (await send(apiUrl(path), { method: "POST" })).json();
}

/** Queue a job. `key` makes a repeated request give the same job. */
export async function submit(job, key) {
  const headers = { "Content-Type": "application/json", "Idempotency-Key": key };
  return (await send(apiUrl("/jobs"), { method: "POST", headers, body: JSON.stringify(job) })).json();
}

/** A random key; randomUUID would need a secure context. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The bytes behind a URL of the API; for links, which cannot carry a token. */
export async function fetchBlob(url) {
  return (await send(url, {})).blob();
}

async function send(url, options) {
  const headers = new Headers(options.headers);
  if (hasToken()) headers.set("Authorization", `Bearer ${sessionStorage.getItem(TOKEN_KEY)}`);
  let response;
  try {
    response = await fetch(url, { ...options, headers, credentials: "omit" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, { detail: "The server does not answer." });
  }
  if (!response.ok) throw new ApiError(response.status, await problemOf(response));
  return response;
}

async function problemOf(response) {
  try {
    return await response.json();
  } catch {
    return { title: response.statusText };
  }
}
