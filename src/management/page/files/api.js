// How does the page ask the broker? By its HTTP API and nothing else, so that whatever the page
// does can be scripted. Rights are checked there only.

// What the broker refused, or that it did not answer (`status` 0).
export class Refused extends Error {
  constructor(status, reason, what) {
    super(`${reason}${advice(status, reason)}`);
    this.status = status;
    this.reason = reason;
    this.what = what;
  }
}

let whenLoggedOut = () => {};

// Says what happens when a session is over.
export function onLoggedOut(then) {
  whenLoggedOut = then;
}

// A path with names in it, each of them one segment: path`queues/${vhost}/${name}`.
export function path(strings, ...names) {
  return strings.reduce((whole, part, index) => `${whole}${segment(names[index - 1])}${part}`);
}

function segment(name) {
  const text = String(name ?? "");
  if (text === "") {
    throw new Refused(0, "This has no name, and an action without a target is none.");
  }
  // A browser takes these for steps up and down, however they are written.
  if (text === "." || text === "..") {
    throw new Refused(0, `No browser can ask for the name '${text}': use leveretctl.`);
  }
  return encodeURIComponent(text);
}

// A path with a query; what is undefined, null or empty is left out.
export function query(of, parameters) {
  const pairs = Object.entries(parameters).filter(
    ([, value]) => ![undefined, null, ""].includes(value),
  );
  return pairs.length === 0 ? of : `${of}?${new URLSearchParams(pairs)}`;
}

// One page of a list, as a table wants it (table.js); `more` are further parameters.
export function getPage(of, { page, size, sort, reverse, search }, signal, more = {}) {
  const parameters = { page, page_size: size, sort, sort_reverse: reverse, name: search, ...more };
  return get(query(of, parameters), { signal });
}

export const get = (of, options) => ask("GET", of, undefined, options);
export const put = (of, body = {}) => ask("PUT", of, body);
export const post = (of, body = {}) => ask("POST", of, body);
export const remove = (of, options) => ask("DELETE", of, undefined, options);

// Sends a file as it is.
export const postText = (of, text) => ask("POST", of, text, { isText: true });

// Asks; what was answered, or `null` if that was nothing. Throws `Refused`.
export async function ask(method, of, body, options = {}) {
  const { signal, isLogin, isText, headers: more } = options;
  const headers = { "X-Requested-With": "leveret", Accept: "application/json", ...more };
  const request = { method, headers, signal, credentials: "same-origin", cache: "no-store" };
  if (body !== undefined) {
    headers["Content-Type"] = "application/json";
    request.body = isText ? body : JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(`api/${of}`, request);
  } catch (error) {
    if (error.name === "AbortError") {
      throw error;
    }
    throw new Refused(0, "The broker does not answer.", of);
  }
  const text = await answer.text();
  if (answer.ok) {
    return text === "" ? null : JSON.parse(text);
  }
  const refused = new Refused(answer.status, reasonOf(text, answer), `${method} ${of}`);
  if (answer.status === 401 && !isLogin && isUnknown(text)) {
    whenLoggedOut();
  }
  throw refused;
}

// Whether a 401 means that nobody is logged in; one that may not do something is told why.
function isUnknown(text) {
  return text === "" || text.includes('"not_authorized"') || text.includes("Not management user");
}

function reasonOf(text, answer) {
  try {
    const { reason, error } = JSON.parse(text);
    const told = reason ?? error;
    return Array.isArray(told) ? told.join(" ") : String(told);
  } catch {
    return text === "" ? `${answer.status} ${answer.statusText}`.trim() : text.slice(0, 300);
  }
}

// What can be done about it.
function advice(status, reason) {
  switch (status) {
    case 0:
      return reason.includes("answer") ? " Is it running? The page tries again by itself." : "";
    case 401:
      return ". Ask an administrator for the right, or log in as somebody else.";
    case 404:
      return reason === "Not Found" ? ": it is gone, or was renamed. Go back to the list." : "";
    case 413:
      return ". Send less at a time, or use leveretctl.";
    case 503:
      return ". Try again in a moment.";
    default:
      return "";
  }
}
