// What does a channel do: what does it publish, get and hold?

import { get, path, query } from "./api.js";
import { modeBadges, prefetchOf } from "./channel-columns.js";
import { rangeChooser } from "./chart.js";
import { h } from "./element.js";
import { rateChart } from "./figure-charts.js";
import { compact, count, duration, name, plural, rate } from "./format.js";
import { wanted } from "./history.js";
import {
  badge,
  connectionLink,
  facts,
  heading,
  number,
  plainTable,
  queueLink,
  replace,
  section,
  tile,
} from "./parts.js";
import { lastAck } from "./queue-consumers.js";
import { link } from "./router.js";

const PUBLISHED = ["publish", "confirm", "return_unroutable", "drop_unroutable"];
const CONSUMED = ["deliver_get", "ack", "redeliver"];

export const channel = {
  path: "channels/:name",
  id: "channels",
  right: "management",
  title: (names) => names.name,
  open(page) {
    const of = page.names.name;
    const state = {
      page,
      name: of,
      badges: h("span.badges"),
      health: h("div.health", { role: "status", "aria-label": "Is anything wrong?" }),
      tiles: tilesOf(),
      published: rateChart("Published a second", "channel.published", PUBLISHED),
      consumed: rateChart("Consumed a second", "channel.consumed", CONSUMED),
      consumers: h("div"),
      facts: h("div"),
    };
    page.root.append(
      h("a.back", { href: link(["channels"]) }, "Channels"),
      heading(of, state.badges),
      state.health,
      h("div.tiles", state.tiles.elements),
      h("div.bar-end", rangeChooser(page.refresh)),
      h("div.charts", state.published.element, state.consumed.element),
      section("Consumers", state.consumers),
      section("Facts", h("div.card", state.facts)),
    );
    return { update: () => update(state) };
  },
};

async function update(state) {
  const of = query(path`channels/${state.name}`, wanted("msg_rates"));
  const now = await get(of, { signal: state.page.signal });
  const called = now.connection_details?.user_provided_name;
  replace(state.badges, [
    called && badge(called),
    modeBadges(now),
    badge(`vhost ${name(now.vhost)}`),
  ]);
  replace(state.health, healthOf(now));
  state.tiles.update(now);
  state.published.update(`channel ${state.name}`, now.message_stats);
  state.consumed.update(`channel ${state.name}`, now.message_stats);
  replace(state.consumers, consumersOf(now));
  replace(state.facts, factsOf(now));
}

// What holds it up, the worst first.
function healthOf(now) {
  const { messages_unacknowledged: unacked, message_stats: stats } = now;
  const speed = (id) => stats?.[`${id}_details`]?.rate ?? 0;
  const consumers = now.consumer_details ?? [];
  const full = consumers.filter(
    (one) => one.prefetch_count > 0 && one.messages_unacknowledged >= one.prefetch_count,
  );
  const found = [];
  if (unacked > 0 && speed("ack") === 0 && speed("deliver_get") === 0) {
    found.push([
      "bad",
      `It holds ${plural(unacked, "message")} and acks none.`,
      full.length > 0
        ? "Its consumers have all that they may have, and get nothing more until they ack."
        : "The program hangs, works for long, or forgets to ack.",
    ]);
  }
  const greedy = consumers.filter((one) => one.ack_required && one.prefetch_count === 0);
  if (greedy.length > 0 && !now.global_prefetch_count) {
    found.push([
      "warn",
      `${plural(greedy.length, "consumer")} without a prefetch limit.`,
      "Set basic.qos: otherwise one of them gets everything at once.",
    ]);
  }
  const lost = speed("return_unroutable") + speed("drop_unroutable");
  if (lost > 0) {
    found.push([
      "warn",
      `${rate(lost)} that it publishes reach no queue.`,
      "See where they would go: the exchange shows it.",
    ]);
  }
  return found.length === 0
    ? h("p.finding.good", h("strong", "Nothing is wrong."))
    : found.map(([level, text, advice]) =>
        h(`div.finding.${level}`, h("strong", text), h("span.hint", advice)),
      );
}

function tilesOf() {
  const [unacked, prefetch, consumers, unconfirmed, published, delivered] = [
    "Unacked",
    "Prefetch",
    "Consumers",
    "Unconfirmed",
    "Published",
    "Delivered",
  ].map((label) => tile(label));
  const update = (now) => {
    const stats = now.message_stats ?? {};
    const total = (id) => `${compact(stats[id] ?? 0)} so far`;
    const limit = prefetchOf(now);
    unacked.set(count(now.messages_unacknowledged));
    prefetch.set(typeof limit === "string" ? limit : "no limit", "of new consumers");
    consumers.set(count(now.consumer_count));
    unconfirmed.set(
      now.confirm ? count(now.messages_unconfirmed) : "–",
      now.confirm ? "" : "no confirms",
    );
    published.set(rate(stats.publish_details?.rate ?? 0), total("publish"));
    delivered.set(rate(stats.deliver_get_details?.rate ?? 0), total("deliver_get"));
  };
  const all = [unacked, prefetch, consumers, unconfirmed, published, delivered];
  return { elements: all.map(({ element }) => element), update };
}

const HEADS = [
  "Queue",
  ["Tag", "wide-only"],
  ["Acks", "wide-only"],
  ["Prefetch", "number wide-only"],
  ["Unacked", "number"],
  ["Last ack", "number"],
  ["Ack within", "number wide-only"],
  ["State", "wide-only"],
];

function consumersOf({ consumer_details: consumers, consumer_count: all }) {
  const rows = consumers.map((one) => [
    queueLink(one.queue.vhost, one.queue.name),
    h("code", one.consumer_tag),
    one.ack_required ? "by hand" : "automatic",
    one.prefetch_count === 0 ? h("span.faint", "no limit") : count(one.prefetch_count),
    number(one.messages_unacknowledged),
    lastAck(one),
    one.consumer_timeout ? duration(one.consumer_timeout) : h("span.faint", "–"),
    badge(one.activity_status, one.active ? "good" : "plain"),
  ]);
  return [
    plainTable("Consumers", HEADS, rows, "Nobody consumes on this channel."),
    all > rows.length && h("p.hint", `${count(rows.length)} of ${plural(all, "consumer")}.`),
  ];
}

function factsOf(now) {
  const owner = now.connection_details ?? {};
  const pairs = [
    ["Connection", owner.name ? connectionLink(owner.name) : "–"],
    ["Number", count(now.number)],
    ["User", name(now.user)],
    ["Peer", h("code", `${owner.peer_host} port ${owner.peer_port}`)],
    ["Publishes are", publishMode(now)],
    now.transactional && ["Not committed", uncommitted(now)],
  ];
  return facts(pairs.filter(Boolean));
}

function publishMode({ confirm, transactional, message_stats: stats }) {
  if (transactional) {
    return "part of transactions";
  }
  if (confirm) {
    return "confirmed once they are safe";
  }
  return stats?.publish > 0 ? "not confirmed: what gets lost is not noticed" : "none so far";
}

const uncommitted = ({ messages_uncommitted: published, acks_uncommitted: acks }) =>
  `${plural(published, "publish", "publishes")}, ${plural(acks, "ack")}`;
