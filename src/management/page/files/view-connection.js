// Who is at the other end of a connection, what comes and goes, and what holds it up?

import { get, getPage, path, query } from "./api.js";
import { rangeChooser } from "./chart.js";
import { channelColumns, channelFields } from "./channel-columns.js";
import { calledOf, closeConnections } from "./connection-close.js";
import { h } from "./element.js";
import { bytesChart } from "./figure-charts.js";
import { bytes, bytesRate, count, duration, moment, name, value } from "./format.js";
import { wanted } from "./history.js";
import { badge, facts, heading, replace, section, tile } from "./parts.js";
import { link } from "./router.js";
import { may } from "./session.js";
import { table } from "./table.js";
import { clientOf, stateBadge } from "./view-connections.js";

export const connection = {
  path: "connections/:name",
  id: "connections",
  right: "management",
  title: (names) => names.name,
  open(page) {
    const state = { page, name: page.names.name, now: null, title: h("span", page.names.name) };
    const close = h("button.danger", { type: "button", onclick: () => closeIt(state) }, "Close…");
    state.badges = h("span.badges");
    state.health = h("div.health", { role: "status", "aria-label": "Is anything wrong?" });
    state.tiles = tilesOf();
    state.traffic = bytesChart("Bytes a second", "connection.bytes", ["recv_oct", "send_oct"]);
    state.channels = channelsOf(state);
    state.places = { who: h("div"), properties: h("div"), terms: h("div") };
    page.root.append(
      h("a.back", { href: link(["connections"]) }, "Connections"),
      heading(state.title, state.badges, close),
      state.health,
      h("div.tiles", state.tiles.elements),
      h("div.bar-end", rangeChooser(page.refresh)),
      h("div.charts", state.traffic.element),
      section("Channels", state.channels.element),
      h(
        "div.columns",
        section("Who is it?", h("div.card", state.places.who)),
        h(
          "div.view",
          section("What its client says of itself", h("div.card", state.places.properties)),
          section("What was agreed", h("div.card", state.places.terms)),
        ),
      ),
    );
    return { update: () => update(state) };
  },
};

async function update(state) {
  const { signal } = state.page;
  const of = path`connections/${state.name}`;
  const [now, node] = await Promise.all([
    get(query(of, wanted("data_rates")), { signal }),
    may("monitoring")
      ? get("nodes?columns=mem_alarm,disk_free_alarm", { signal })
      : Promise.resolve([]),
  ]);
  state.now = now;
  state.title.textContent = calledOf(now);
  replace(state.badges, badgesOf(now));
  replace(state.health, healthOf(now, node[0] ?? {}));
  state.tiles.update(now);
  state.traffic.update(`connection ${state.name}`, now);
  replace(state.places.who, whoOf(now));
  replace(state.places.properties, propertiesOf(now));
  replace(state.places.terms, termsOf(now));
  await state.channels.update();
}

const badgesOf = ({ vhost, state, ssl }) => [
  stateBadge(state),
  badge(`vhost ${name(vhost)}`),
  badge(ssl ? "TLS" : "no TLS", "plain", ssl ? undefined : "What is sent can be read on the way"),
];

function causeOf({ mem_alarm: isFull, disk_free_alarm: isDiskFull }) {
  const causes = [isFull && "memory is full", isDiskFull && "the disk is full"].filter(Boolean);
  return causes.join(" and ") || "the broker has an alarm";
}

// Whether it is blocked, and why.
function healthOf({ state }, node) {
  const finding = (level, text, advice) =>
    h(`div.finding.${level}`, h("strong", text), h("span.hint", advice));
  switch (state) {
    case "blocked":
      return finding(
        "bad",
        `It is blocked: ${causeOf(node)}.`,
        "It published during the alarm: nothing more is read until it is over. Consume or purge.",
      );
    case "blocking":
      return finding(
        "warn",
        `It will be blocked when it publishes: ${causeOf(node)}.`,
        "Until then it can consume and ack.",
      );
    case "flow":
      return finding(
        "warn",
        "It is slowed down: it publishes faster than the broker stores.",
        "That is over by itself. Confirms tell a publisher how fast it can be.",
      );
    default:
      return h("p.finding.good", h("strong", "Nothing holds it up."));
  }
}

function tilesOf() {
  const [incoming, outgoing, pending, channels, age] = [
    "From client",
    "To client",
    "Waits to be sent",
    "Channels",
    "Connected for",
  ].map((label) => tile(label));
  const update = (now) => {
    incoming.set(bytesRate(now.recv_oct_details?.rate ?? 0), `${bytes(now.recv_oct)} so far`);
    outgoing.set(bytesRate(now.send_oct_details?.rate ?? 0), `${bytes(now.send_oct)} so far`);
    pending.set(bytes(now.send_pend));
    channels.set(count(now.channels));
    const past = Math.max(0, Date.now() - now.connected_at);
    age.set(duration(past), moment(now.connected_at));
  };
  const all = [incoming, outgoing, pending, channels, age];
  return { elements: all.map(({ element }) => element), update };
}

function channelsOf({ name: of, page }) {
  return table({
    name: "connection.channels",
    label: "Channels of this connection",
    noun: "channel",
    columns: channelColumns({ isOfConnection: true }),
    sort: "number",
    hasFilter: false,
    keyOf: (one) => one.name,
    load: (wanted) => {
      const list = path`connections/${of}/channels`;
      return getPage(list, wanted, page.signal, { columns: channelFields });
    },
    empty: "It has no channel: its client is connected and does nothing.",
  });
}

function whoOf(now) {
  return facts([
    ["Name", h("code", now.name)],
    ["User", h("strong", name(now.user))],
    ["Logged in by", now.auth_mechanism],
    ["Peer", h("code", `${now.peer_host} port ${now.peer_port}`)],
    ["Came in at", h("code", `${now.host} port ${now.port}`)],
    ["Virtual host", name(now.vhost)],
    ["Protocol", now.protocol],
    ["TLS", now.ssl ? [now.ssl_protocol, now.ssl_cipher].filter(Boolean).join(", ") : "no"],
  ]);
}

function termsOf(now) {
  return facts([
    ["Heartbeat", now.timeout === 0 ? "none" : `every ${duration(now.timeout * 1000)}`],
    ["Largest frame", bytes(now.frame_max)],
    ["Channels at most", count(now.channel_max)],
    ["Connected at", moment(now.connected_at)],
    ["Frames from client", count(now.recv_cnt)],
    ["Frames to client", count(now.send_cnt)],
  ]);
}

function propertiesOf({ client_properties: of, user_provided_name: provided }) {
  const { capabilities, product, version, ...more } = of ?? {};
  const rest = Object.entries(more).filter(([key]) => key !== "connection_name");
  const able = Object.entries(capabilities ?? {}).filter(([, can]) => can === true);
  const pairs = [
    ["Connection name", provided ? name(provided) : h("span.faint", "none given")],
    ["Client", clientOf({ product, version })],
    ...rest.map(([key, told]) => [key, value(told)]),
    [
      "Can",
      able.length > 0
        ? h(
            "span.badges",
            able.map(([key]) => badge(key.replaceAll("_", " "))),
          )
        : h("span.faint", "it does not say"),
    ],
  ];
  return facts(pairs);
}

async function closeIt({ now, name: of, page }) {
  const isDone = await closeConnections([now ?? { name: of }]);
  if (isDone && !page.signal.aborted) {
    location.hash = link(["connections"]);
  }
}
