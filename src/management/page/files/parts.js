// Which small parts do views have in common?

import { fill, h, setText } from "./element.js";
import { count, exchangeName, name, rateNumber } from "./format.js";
import { link } from "./router.js";
import { session } from "./session.js";

// The head of a view: its h1, what is said beside it, and buttons.
export function heading(title, beside = [], buttons = []) {
  return h("div.heading", h("h1", title), beside, h("div.heading-end", buttons));
}

// A part of a view with a heading of its own.
export function section(title, ...children) {
  return h("section.section", h("h2", title), children);
}

// A figure with its name; `set(text, hint)`.
export function tile(label, href) {
  const value = h("span.tile-value", "–");
  const hint = h("span.tile-hint");
  const parts = [h("span.tile-label", label), value, hint];
  const element = href ? h("a.tile", { href }, parts) : h("div.tile", parts);
  const set = (text, told = "") => {
    setText(value, text);
    setText(hint, told);
  };
  return { element, set };
}

// Puts an element in its place, unless the same is there: focus and what is marked stay.
export function show(place, fresh) {
  if (!place.firstElementChild?.isEqualNode(fresh)) {
    fill(place, fresh);
  }
}

// The same of a text or of several elements.
export const replace = (place, fresh) => show(place, h("div", fresh));

// Something that opens below its summary, and closes when one leaves it or presses Escape.
export function menu(summary, body, kind = "") {
  const element = h(`details.menu${kind}`, summary, h("div.menu-body", body));
  element.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && element.open) {
      element.open = false;
      summary.focus();
    }
  });
  element.addEventListener("focusout", (event) => {
    if (event.relatedTarget && !element.contains(event.relatedTarget)) {
      element.open = false;
    }
  });
  return element;
}

// A number in a table; a nought is no news.
export const number = (value, format = count) =>
  value ? format(value) : h("span.faint", value === 0 ? "0" : "–");

// How often something happens to the messages of one row, in a second.
export const rateOf = (id, { message_stats: stats }) =>
  number(stats?.[`${id}_details`]?.rate ?? 0, rateNumber);

// Names with what they are: [[name, text or element], ...].
export function facts(pairs) {
  const rows = pairs.map(([key, value]) => h("div", h("dt", key), h("dd", value)));
  return h("dl.facts", rows);
}

// A word that says what something is; kind: plain, good, warn or bad.
export function badge(text, kind = "plain", hint) {
  return h(`span.badge.${kind}`, { title: hint }, text);
}

// The vhost of something, where several are shown together.
export function vhostOf(vhost) {
  return session.vhosts.length > 1 && session.vhost === "" && h("span.of-vhost", name(vhost));
}

export function queueLink(vhost, queue) {
  return h("a.name", { href: link(["queues", vhost, queue]) }, name(queue));
}

export function exchangeLink(vhost, exchange) {
  const href = link(["exchanges", vhost, exchange === "" ? "amq.default" : exchange]);
  return h("a.name", { href }, exchangeName(exchange));
}

export function connectionLink(connection, text = connection) {
  return h("a.name", { href: link(["connections", connection]) }, text);
}

export function channelLink(channel, text = channel) {
  return h("a.name", { href: link(["channels", channel]) }, text);
}

// A channel by what its client calls itself, with the addresses beneath. It has them in its name.
export function namedChannel(channel, number, called) {
  return called
    ? [channelLink(channel, `${called} (${number})`), h("span.beneath", channel)]
    : channelLink(channel);
}

// Where a list is asked for: of the vhost that is looked at, or of all. Some lists have the vhost
// behind their name, others before it.
export const listOf = (list) =>
  session.vhost === "" ? list : `${list}/${encodeURIComponent(session.vhost)}`;
export const listBehindVhost = (list) =>
  session.vhost === "" ? list : `vhosts/${encodeURIComponent(session.vhost)}/${list}`;

// A table of few rows that is not sorted or filtered: heads [text or [text, class]], rows of cells.
export function plainTable(label, heads, rows, none) {
  const classOf = (head) => (Array.isArray(head) ? { class: head[1] } : {});
  const textOf = (head) => (Array.isArray(head) ? head[0] : head);
  const line = (cells) =>
    h(
      "tr",
      cells.map((cell, index) => h("td", classOf(heads[index]), cell)),
    );
  const empty = h("tr.none", h("td", { colspan: heads.length }, none));
  return h(
    "div.table-frame.plain-table",
    { tabindex: 0, role: "region", "aria-label": label },
    h(
      "table",
      h("caption.unseen", label),
      h(
        "thead",
        h(
          "tr",
          heads.map((head) => h("th", { scope: "col", ...classOf(head) }, textOf(head))),
        ),
      ),
      h("tbody", rows.length === 0 ? empty : rows.map(line)),
    ),
  );
}
