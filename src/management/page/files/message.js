// How is a message shown? What is said of it, and its body as text, as JSON or byte by byte.

import { fill, h } from "./element.js";
import { bytes, moment, value } from "./format.js";

// So many bytes of a body are shown byte by byte: more would be no help.
const HEX_BYTES_MAX = 4096;
const HEX_WIDTH = 16;

// A message as browsing or getting it answers: its properties, headers and body.
export function messageBody(message) {
  const properties = Array.isArray(message.properties) ? {} : message.properties;
  const { headers = {}, ...rest } = properties;
  const line = ([key, of]) => h("div", h("dt", key), h("dd", shownProperty(key, of)));
  const list = (title, entries) =>
    entries.length > 0 && h("div.message-part", h("h4", title), h("dl.facts", entries.map(line)));
  return h(
    "div.message",
    list("Properties", Object.entries(rest)),
    list("Headers", Object.entries(headers)),
    bodyOf(message),
  );
}

function shownProperty(key, of) {
  if (key === "timestamp" && typeof of === "number") {
    return `${of} (${moment(of * 1000)})`;
  }
  if (key === "delivery_mode") {
    return of === 2 ? "2 (persistent)" : `${of} (transient)`;
  }
  const text = value(of);
  return typeof of === "object" ? h("pre", JSON.stringify(of, null, 2)) : text;
}

// The body as somebody wants to see it: as JSON, if it is some.
function bodyOf(message) {
  const raw = bytesOf(message);
  const text = message.payload_encoding === "string" ? message.payload : null;
  const json = text === null ? null : formatted(text);
  const views = [
    json !== null && ["JSON", () => json],
    text !== null && ["Text", () => text],
    ["Hex", () => hex(raw)],
  ].filter(Boolean);
  const shown = h("pre.body", { tabindex: 0, role: "region", "aria-label": "Body" });
  const choose = (at) => {
    buttons.forEach((button, index) => button.setAttribute("aria-pressed", String(index === at)));
    fill(shown, views[at][1]());
  };
  const buttons = views.map(([label], at) =>
    h("button", { type: "button", onclick: () => choose(at) }, label),
  );
  choose(0);
  const whole = message.payload_bytes;
  const isCut = raw.length < whole;
  const size = isCut ? `the first ${bytes(raw.length)} of ${bytes(whole)}` : bytes(whole);
  return h(
    "div.message-part",
    h(
      "div.message-head",
      h("h4", "Body"),
      h("span.hint", size),
      h("div.segments", { role: "group", "aria-label": "Show the body as" }, buttons),
    ),
    whole === 0 ? h("p.hint", "The body is empty.") : shown,
  );
}

function bytesOf({ payload, payload_encoding: encoding }) {
  return encoding === "base64"
    ? Uint8Array.from(atob(payload), (letter) => letter.charCodeAt(0))
    : new TextEncoder().encode(payload);
}

// JSON with an indent, or `null`; a text that is only a number or a word stays as it is. Numbers
// too long for JavaScript would be changed: they stay as they are, too.
function formatted(text) {
  if (!/^\s*[[{]/.test(text) || /\d{16}/.test(text)) {
    return null;
  }
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return null;
  }
}

function hex(raw) {
  const shown = raw.subarray(0, HEX_BYTES_MAX);
  const lines = [];
  for (let at = 0; at < shown.length; at += HEX_WIDTH) {
    const row = [...shown.subarray(at, at + HEX_WIDTH)];
    const digits = row.map((byte) => byte.toString(16).padStart(2, "0"));
    const isLetter = (byte) => byte >= 32 && byte < 127;
    const letters = row.map((byte) => (isLetter(byte) ? String.fromCharCode(byte) : "·"));
    const left = digits.slice(0, 8).join(" ").padEnd(24);
    const right = digits.slice(8).join(" ").padEnd(24);
    lines.push(`${at.toString(16).padStart(6, "0")}  ${left}${right} ${letters.join("")}`);
  }
  if (raw.length > HEX_BYTES_MAX) {
    lines.push(`and ${raw.length - HEX_BYTES_MAX} bytes more`);
  }
  return lines.join("\n");
}
