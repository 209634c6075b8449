// How is one queue: what comes and goes, what is in force, who feeds it, who consumes, what is in
// it?

import { get, path, query, remove } from "./api.js";
import { rangeChooser } from "./chart.js";
import { ask } from "./dialog.js";
import { fill, h } from "./element.js";
import { lengthsChart, rateChart } from "./figure-charts.js";
import {
  bytes,
  command,
  compact,
  count,
  duration,
  exchangeName,
  moment,
  name,
  plural,
  rate,
} from "./format.js";
import { graph } from "./graph.js";
import { wanted } from "./history.js";
import {
  badge,
  exchangeLink,
  facts,
  heading,
  plainTable,
  replace,
  section,
  tile,
} from "./parts.js";
import { publishForm } from "./publish.js";
import { getForm, messageBrowser } from "./queue-messages.js";
import { consumersOf } from "./queue-consumers.js";
import { diagnoses } from "./queue-diagnosis.js";
import { policiesOf, settingsTable } from "./queue-settings.js";
import { link } from "./router.js";
import { session } from "./session.js";

const RATES = ["publish", "deliver_get", "ack", "redeliver"];

// So many bindings are drawn; the table has all of them.
const DRAWN_MAX = 12;

export const queue = {
  path: "queues/:vhost/:name",
  id: "queues",
  right: "management",
  title: (names) => names.name,
  open(page) {
    const { vhost, name: queueName } = page.names;
    const state = { page, vhost, name: queueName, now: null };
    const act = (label, run) => h("button.danger", { type: "button", onclick: run }, label);
    const purge = act("Purge…", () => purgeQueue(state));
    const drop = act("Delete…", () => dropQueue(state));
    state.badges = h("span.badges");
    state.health = h("div.health", { role: "status", "aria-label": "Is anything wrong?" });
    state.tiles = tilesOf();
    state.charts = chartsOf(state);
    state.places = {
      settings: h("div"),
      facts: h("div"),
      bindings: h("div.stack"),
      consumers: h("div"),
    };
    const back = h("a.back", { href: link(["queues"]) }, "Queues");
    const of = { vhost, name: queueName };
    const browser = messageBrowser(page, of, page.refresh);
    const publish = publishForm({
      vhost,
      exchange: "",
      key: queueName,
      isKeyFixed: true,
      done: page.refresh,
    });
    page.root.append(
      back,
      heading(name(queueName), state.badges, [purge, drop]),
      state.health,
      h("div.tiles", state.tiles.elements),
      h("div.bar-end", rangeChooser(page.refresh)),
      h("div.charts", state.charts.elements),
      section("Consumers", state.places.consumers),
      section("Messages", browser),
      h(
        "div.columns",
        section("Publish to this queue", h("div.card", publish.element)),
        section("Get messages", h("div.card", getForm(page, of, page.refresh))),
      ),
      section("Bindings", state.places.bindings),
      h(
        "div.columns",
        section("Settings", state.places.settings),
        section("Facts", h("div.card", state.places.facts)),
      ),
    );
    return { update: () => update(state) };
  },
};

async function update(state) {
  const {
    vhost,
    name: queueName,
    page: { signal },
  } = state;
  const of = path`queues/${vhost}/${queueName}`;
  const [now, bindings] = await Promise.all([
    get(query(of, wanted("lengths", "msg_rates")), { signal }),
    get(`${of}/bindings`, { signal }),
  ]);
  state.now = now;
  replace(state.badges, badgesOf(now));
  replace(state.health, healthOf(now));
  state.tiles.update(now);
  state.charts.update(now);
  replace(state.places.consumers, consumersOf(now, state.page.refresh));
  if (JSON.stringify(bindings) !== state.bindings) {
    state.bindings = JSON.stringify(bindings);
    fill(state.places.bindings, bindingsOf(now, bindings));
  }
  replace(state.places.facts, factsOf(now));
  replace(state.places.settings, settingsTable(now, await policiesOf(now, signal)));
}

function badgesOf({ type, durable, exclusive, auto_delete: autoDelete, state, vhost }) {
  return [
    session.vhosts.length > 1 && badge(`vhost ${name(vhost)}`),
    badge(type),
    badge(durable ? "durable" : "transient"),
    exclusive && badge("exclusive"),
    autoDelete && badge("auto-delete"),
    state !== "running" && badge(state, "warn"),
  ];
}

function healthOf(now) {
  const found = diagnoses(now);
  return found.length === 0
    ? h("p.finding.good", h("strong", "Nothing is wrong."))
    : found.map(({ level, text, advice }) =>
        h(`div.finding.${level}`, h("strong", text), advice && h("span.hint", advice)),
      );
}

function tilesOf() {
  const [ready, unacked, consumers, oldest] = [
    "Ready",
    "Unacked",
    "Consumers",
    "Oldest message",
  ].map((label) => tile(label));
  const [incoming, outgoing, acked] = ["Published", "Delivered", "Acked"].map((label) =>
    tile(label),
  );
  const update = (now) => {
    const stats = now.message_stats ?? {};
    const total = (id) => `${compact(stats[id] ?? 0)} so far`;
    ready.set(count(now.messages_ready), bytes(now.message_bytes_ready ?? 0));
    unacked.set(count(now.messages_unacknowledged));
    consumers.set(count(now.consumers));
    oldest.set(duration(now.oldest_message_age_ms));
    incoming.set(rate(stats.publish_details?.rate ?? 0), total("publish"));
    outgoing.set(rate(stats.deliver_get_details?.rate ?? 0), total("deliver_get"));
    acked.set(rate(stats.ack_details?.rate ?? 0), total("ack"));
  };
  const all = [ready, unacked, consumers, oldest, incoming, outgoing, acked];
  return { elements: all.map(({ element }) => element), update };
}

function chartsOf({ vhost, name: queueName }) {
  const waiting = lengthsChart("Messages", "queue.lengths");
  const perSecond = rateChart("Messages a second", "queue.rates", RATES);
  const key = `queue ${JSON.stringify([vhost, queueName])}`;
  const update = (now) => {
    waiting.update(key, now);
    perSecond.update(key, now.message_stats);
  };
  return { elements: [waiting.element, perSecond.element], update };
}

function bindingsOf({ vhost, name: queueName }, bindings) {
  const named = bindings.filter(({ source }) => source !== "");
  const drawn = named.slice(0, DRAWN_MAX);
  const sources = [...new Set(drawn.map(({ source }) => source))];
  const node = (source) => ({
    id: `e ${source}`,
    label: exchangeName(source),
    kind: "exchange",
    hint: "exchange",
    href: link(["exchanges", vhost, source]),
  });
  const here = { id: "q", label: queueName, kind: "queue", hint: "this queue" };
  const grouped = sources.map((source) => ({
    from: `e ${source}`,
    to: "q",
    label: drawn
      .filter((one) => one.source === source)
      .map(labelOf)
      .join(", "),
  }));
  const picture =
    named.length > 0 &&
    graph({
      label: "Exchanges that lead here",
      columns: [sources.map(node), [here]],
      edges: grouped,
    });
  const rows = named.map((one) => [
    exchangeLink(vhost, one.source),
    h("code", one.routing_key),
    Object.keys(one.arguments).length > 0 ? h("code", JSON.stringify(one.arguments)) : "",
  ]);
  return [
    picture,
    named.length > 0 && plainTable("Bindings", ["Exchange", "Routing key", "Arguments"], rows),
    h("p.hint", "The default exchange always leads here, by the queue's name."),
  ];
}

const labelOf = ({ routing_key: key, arguments: of }) =>
  key || (Object.keys(of).length > 0 ? JSON.stringify(of) : "(no key)");

// Within which time that share of the messages was taken, as far as the broker counted.
function waited({ time_in_queue: times }, share) {
  if (!times || times.count === 0) {
    return null;
  }
  const bucket = times.buckets.find(({ count: many }) => many >= times.count * share);
  return bucket?.up_to_ms ? duration(bucket.up_to_ms) : "more than is measured";
}

function factsOf(now) {
  const owner = now.owner_pid_details;
  const pairs = [
    ["Memory", bytes(now.memory)],
    ["Message bodies", bytes(now.message_bytes)],
    ["Idle since", now.idle_since ? moment(Date.parse(now.idle_since)) : "not idle"],
    [
      "Exclusive owner",
      owner?.name && h("a", { href: link(["connections", owner.name]) }, owner.name),
    ],
    ["Single active consumer", now.single_active_consumer_tag],
    ["Node", now.node],
    ["Half were taken within", waited(now, 0.5)],
    ["95 % were taken within", waited(now, 0.95)],
  ];
  return facts(
    pairs.filter(([, value]) => value !== undefined && value !== null && value !== false),
  );
}

// What somebody would not type by accident.
const TYPED_FROM = 1000;

async function purgeQueue({ vhost, name: queueName, now, page }) {
  const ready = now?.messages_ready ?? 0;
  const unacked = now?.messages_unacknowledged ?? 0;
  const isDone = await ask({
    title: `Purge ${name(queueName)}?`,
    text: h(
      "p",
      `${plural(ready, "message")} that ${ready === 1 ? "waits is" : "wait are"} gone for good. `,
      unacked > 0 &&
        `The ${count(unacked)} that consumers have ${unacked === 1 ? "is" : "are"} not.`,
    ),
    action: `Purge ${plural(ready, "message")}`,
    typed: ready >= TYPED_FROM ? queueName : undefined,
    command: command("purge_queue", "-p", vhost, queueName),
    run: () => remove(path`queues/${vhost}/${queueName}/contents`),
    done: `Purged ${queueName}.`,
  });
  return isDone && page.refresh();
}

async function dropQueue({ vhost, name: queueName, now }) {
  const messages = now?.messages ?? 0;
  const isDone = await ask({
    title: `Delete ${name(queueName)}?`,
    text: h(
      "p",
      `The queue goes with ${plural(messages, "message")} and its bindings; `,
      `${plural(now?.consumers ?? 0, "consumer")} will be told.`,
    ),
    action: "Delete queue",
    typed: messages >= TYPED_FROM ? queueName : undefined,
    command: command("delete_queue", "-p", vhost, queueName),
    run: () => remove(path`queues/${vhost}/${queueName}`),
    done: `Deleted ${queueName}.`,
  });
  if (isDone) {
    location.hash = link(["queues"]);
  }
}
