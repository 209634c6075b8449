// Is anything wrong? The first line says so; then how fast messages come and go, and how the node
// is.

import { get, path, query } from "./api.js";
import { chart, rangeChooser } from "./chart.js";
import { fill, h } from "./element.js";
import { lengthsChart, nodeChart, rateChart } from "./figure-charts.js";
import { findings, queuesPath } from "./findings.js";
import { bytes, compact, count, duration, name, plural, rate, shortDuration } from "./format.js";
import { rates, syncTime, syncTimes, wanted } from "./history.js";
import { facts, heading, plainTable, replace, section, show, tile } from "./parts.js";
import { link } from "./router.js";
import { may, session } from "./session.js";

const HISTORIES = ["lengths", "msg_rates", "data_rates", "node_stats"];

const RATES = ["publish", "confirm", "deliver_get", "ack", "redeliver"];

export const overview = {
  path: "",
  id: "overview",
  right: "management",
  title: () => "Overview",
  open(page) {
    const health = h("div.health", { role: "status", "aria-label": "Is anything wrong?" });
    const version = h("span.beside");
    const tiles = tilesOf();
    const charts = chartsOf();
    const node = h("div");
    page.root.append(
      heading("Overview", version, rangeChooser(page.refresh)),
      health,
      h("div.tiles", tiles.elements),
      h("div.charts", charts.ofMessages),
      h("div.charts.small", charts.ofNode),
      node,
    );
    return { update: () => update(page, { health, version, tiles, charts, node }) };
  },
};

async function update({ signal }, parts) {
  const histories = wanted(...HISTORIES);
  const about = await get(query("overview", histories), { signal });
  // Who may not monitor is told of no node.
  const node = about.node && (await get(query(path`nodes/${about.node}`, histories), { signal }));
  fill(parts.version, `${about.cluster_name} · Leveret ${about.leveret_version ?? ""}`);
  parts.tiles.update(about);
  parts.charts.update(about, node);
  parts.tiles.setOldest(await oldestMessage(about, signal));
  const found = await findings(node, signal);
  replace(parts.health, found.length === 0 ? allWell() : found.map(findingOf));
  if (node) {
    drawNode(parts.node, about, node);
  }
}

function allWell() {
  return h(
    "p.finding.good",
    h("strong", "Nothing is wrong. "),
    "No alarm, no queue that grows without consumers, and all consumers acknowledge.",
  );
}

function findingOf({ level, text, href, named }) {
  const title = href ? h("a", { href }, text) : text;
  const list = named.map((one) =>
    h("li", h("a.name", { href: one.href }, one.text), h("span.hint", one.hint)),
  );
  return h(`div.finding.${level}`, h("strong", title), list.length > 0 && h("ul", list));
}

function tilesOf() {
  const ready = tile("Ready", link(["queues"], { state: "ready" }));
  const unacked = tile("Unacked");
  const oldest = tile("Oldest", link(["queues"], { state: "ready" }));
  const published = tile("Published");
  const delivered = tile("Delivered");
  const totals = [
    ["queues", "Queues"],
    ["consumers", "Consumers"],
    ["connections", "Connections"],
    ["channels", "Channels"],
    ["exchanges", "Exchanges"],
  ];
  const objects = totals.map(([id, label]) => [id, tile(label, id !== "consumers" && link([id]))]);
  const update = ({ queue_totals: queues, object_totals: of, message_stats: stats }) => {
    ready.set(compact(queues?.messages_ready));
    unacked.set(compact(queues?.messages_unacknowledged));
    published.set(
      rate(stats?.publish_details?.rate ?? 0),
      `${compact(stats?.publish ?? 0)} so far`,
    );
    delivered.set(
      rate(stats?.deliver_get_details?.rate ?? 0),
      `${compact(stats?.deliver_get ?? 0)} so far`,
    );
    objects.forEach(([id, one]) => one.set(count(of?.[id])));
  };
  const all = [ready, unacked, oldest, published, delivered, ...objects.map(([, one]) => one)];
  return {
    elements: all.map(({ element }) => element),
    update,
    setOldest: (of) => setOldest(oldest, of),
  };
}

// To find it, the broker looks at all queues: not each time, and not where there are very many.
const OLDEST_EVERY_MS = 15_000;
const OLDEST_QUEUES_MAX = 10_000;

let oldestKnown = { at: 0, vhost: null, queue: null };

async function oldestMessage(about, signal) {
  const { at, vhost } = oldestKnown;
  const isKnown = Date.now() - at < OLDEST_EVERY_MS && vhost === session.vhost;
  if (isKnown || about.object_totals?.queues > OLDEST_QUEUES_MAX) {
    return isKnown ? aged(oldestKnown) : null;
  }
  const { items } = await get(
    query(queuesPath(), {
      state: "ready",
      page: 1,
      page_size: 1,
      sort: "oldest_message_age_ms",
      sort_reverse: true,
      columns: "name,vhost,oldest_message_age_ms",
    }),
    { signal },
  );
  oldestKnown = { at: Date.now(), vhost: session.vhost, queue: items[0] ?? null };
  return oldestKnown.queue;
}

// It has waited since it was looked at, too.
function aged({ at, queue }) {
  const age = queue?.oldest_message_age_ms;
  return queue && { ...queue, oldest_message_age_ms: age + Date.now() - at };
}

function setOldest(shown, queue) {
  shown.set(shortDuration(queue?.oldest_message_age_ms), queue ? name(queue.name) : "");
  const to = queue ? ["queues", queue.vhost, queue.name] : ["queues"];
  shown.element.setAttribute("href", link(to));
}

// What the disk does for a message.
function logCharts() {
  const sync = chart({
    title: "A sync takes",
    name: "node.io_sync_avg_time",
    format: duration,
    lines: [{ id: "sync", label: "On average", color: 1 }],
  });
  const size = chart({
    title: "Written a message",
    name: "node.bytes",
    format: bytes,
    isBytes: true,
    lines: [{ id: "bytes", label: "A message", color: 1 }],
  });
  const charts = [sync, size];
  const update = (node) => {
    for (const { element } of charts) {
      element.hidden = node.io_sync_avg_time === undefined;
    }
    sync.update({ sync: syncTimes(node) });
    const written = rates("node io_write_bytes", node.io_write_bytes_details);
    const messages = rates("node log_messages", node.log_messages_details);
    const by = new Map(messages);
    const each = written.filter(([at]) => by.get(at) > 0).map(([at, of]) => [at, of / by.get(at)]);
    size.update({ bytes: each });
  };
  return { charts, update };
}

function chartsOf() {
  const perSecond = rateChart("Messages a second", "rates", RATES);
  const waiting = lengthsChart("Messages in queues", "lengths");
  const nodes = !may("monitoring")
    ? []
    : [
        ["Memory", "mem_used", bytes, true, "Used"],
        ["Free on the disk", "disk_free", bytes, true, "Free"],
        ["File descriptors", "fd_used", compact, false, "Open"],
      ].map((figure) => nodeChart("node", figure));
  const log = may("monitoring") ? logCharts() : null;
  const update = ({ message_stats: stats, queue_totals: lengths }, node) => {
    perSecond.update("node", stats);
    waiting.update("node", lengths);
    if (!node) {
      return;
    }
    nodes.forEach((one) => one.update(node));
    log.update(node);
  };
  const elements = (charts) => charts.map(({ element }) => element);
  return {
    ofMessages: elements([perSecond, waiting]),
    ofNode: elements([...nodes, ...(log?.charts ?? [])]),
    update,
  };
}

function drawNode(place, about, node) {
  const shown = h(
    "div.columns",
    section(
      "Node",
      h(
        "div.card",
        facts([
          ["Name", node.name],
          ["Up for", duration(node.uptime)],
          ["Data", h("code", node.db_dir ?? "")],
          ["Memory", `${bytes(node.mem_used)} of ${bytes(node.mem_limit)}`],
          ["Free on the disk", `${bytes(node.disk_free)}, at least ${bytes(node.disk_free_limit)}`],
          ["A sync of the disk", duration(syncTime(node))],
          ["Longest turn of late", duration(node.longest_turn_ms)],
          ["File descriptors", `${count(node.fd_used)} of ${count(node.fd_total)}`],
          ["Process", `${node.os_pid}, ${plural(node.processors, "processor")}`],
        ]),
      ),
    ),
    section(
      "Listeners",
      plainTable(
        "Listeners",
        ["Protocol", "Address", ["Port", "number"]],
        about.listeners.map(({ protocol, ip_address: ip, port }) => [
          protocol,
          h("code", ip),
          String(port),
        ]),
        "Nothing listens.",
      ),
    ),
  );
  show(place, shown);
}
