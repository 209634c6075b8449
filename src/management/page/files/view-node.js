// How is the node: its memory, disk, descriptors, turns and listeners, and what is set there?

import { get, path, put, query } from "./api.js";
import { button, change, tabs } from "./admin.js";
import { rangeChooser } from "./chart.js";
import { fill, h } from "./element.js";
import { nodeChart } from "./figure-charts.js";
import { field } from "./form.js";
import { bytes, command, compact, count, duration, name, plural } from "./format.js";
import { rates, syncTime, syncTimes, wanted } from "./history.js";
import { facts, heading, plainTable, section, show, tile } from "./parts.js";
import { may } from "./session.js";

const MIB = 1024 * 1024;

const LEVELS = ["debug", "info", "warning", "error", "none"];

export const node = {
  path: "nodes",
  id: "admin",
  right: "monitoring",
  title: () => "Node",
  open(page) {
    const state = { page, cluster: "", settings: null };
    const changed = page.refresh;
    const buttons = may("administrator") && [
      button("Cluster name…", () => nameCluster(state.cluster, changed)),
      button("Settings…", () => changeSettings(changed)),
    ];
    state.title = h("span.beside");
    state.health = h("div.health", { role: "status", "aria-label": "Alarms" });
    state.tiles = tilesOf();
    state.charts = chartsOf();
    state.places = { facts: h("div"), listeners: h("div") };
    page.root.append(
      tabs("node"),
      heading("Node", state.title, buttons || []),
      state.health,
      h("div.tiles", state.tiles.elements),
      h("div.bar-end", rangeChooser(page.refresh)),
      h("div.charts", state.charts.elements),
      h(
        "div.columns",
        section("Facts", h("div.card", state.places.facts)),
        section("Listeners", state.places.listeners),
      ),
    );
    return { update: () => update(state) };
  },
};

async function update(state) {
  const { signal } = state.page;
  const about = await get("overview", { signal });
  const now = await get(query(path`nodes/${about.node}`, wanted("node_stats")), { signal });
  state.cluster = about.cluster_name;
  fill(state.title, `${now.name} in ${about.cluster_name}`);
  show(state.health, healthOf(now));
  state.tiles.update(now);
  state.charts.update(now);
  show(state.places.facts, factsOf(now, about));
  show(state.places.listeners, listenersOf(about));
}

function healthOf(now) {
  const found = [
    now.mem_alarm &&
      `Memory: ${bytes(now.mem_used)} of ${bytes(now.mem_limit)} are used, and publishers wait.`,
    now.disk_free_alarm &&
      `Disk: ${bytes(now.disk_free)} are free, ${bytes(now.disk_free_limit)} have to be, ` +
        "and publishers wait.",
  ].filter(Boolean);
  return found.length === 0
    ? h("p.finding.good", h("strong", "No alarm. "), "Publishers are not held back.")
    : h(
        "div",
        found.map((text) => h("p.finding.bad", text)),
      );
}

function tilesOf() {
  const [memory, disk, files, sync, turn, uptime] = [
    "Memory",
    "Free on the disk",
    "File descriptors",
    "A sync takes",
    "Longest turn",
    "Up for",
  ].map((label) => tile(label));
  const update = (now) => {
    memory.set(bytes(now.mem_used), `of ${bytes(now.mem_limit)}`);
    disk.set(bytes(now.disk_free), `at least ${bytes(now.disk_free_limit)}`);
    files.set(count(now.fd_used), `of ${compact(now.fd_total)}`);
    sync.set(duration(syncTime(now)), `${compact(now.io_sync_count)} so far`);
    turn.set(duration(now.longest_turn_ms), "in the last minute");
    uptime.set(duration(now.uptime));
  };
  const elements = [memory, disk, files, sync, turn, uptime].map(({ element }) => element);
  return { elements, update };
}

const LEVEL_CHARTS = [
  ["Memory", "mem_used", bytes, true, "Used"],
  ["Free on the disk", "disk_free", bytes, true, "Free"],
  ["File descriptors", "fd_used", compact, false, "Open"],
];

const SYNC_CHARTS = [["A sync of the disk takes", "io_sync_avg_time", duration, false, "Average"]];

const RATE_CHARTS = [
  ["Syncs a second", "io_sync_count", compact, false, "Syncs"],
  ["Written to the disk in a second", "io_write_bytes", bytes, true, "Written"],
];

function chartsOf() {
  const make = (pointsOf) => (figure) => nodeChart("node-view", figure, pointsOf);
  const perSecond = (id, now) => rates(`node ${id} rate`, now[`${id}_details`]);
  const all = [
    ...LEVEL_CHARTS.map(make()),
    ...SYNC_CHARTS.map(make((_, now) => syncTimes(now))),
    ...RATE_CHARTS.map(make(perSecond)),
  ];
  const update = (now) => all.forEach((one) => one.update(now));
  return { elements: all.map(({ element }) => element), update };
}

function factsOf(now, about) {
  return facts([
    ["Version", `Leveret ${now.leveret_version}, for clients ${about.rabbitmq_version}`],
    ["Data", h("code", now.db_dir ?? "")],
    ["A sync takes on average", duration(now.io_sync_avg_time)],
    ["Connections blocked", count(now.connections_blocked)],
    ["Process", `${now.os_pid}, ${plural(now.processors, "processor")}`],
    ["Sockets", `${count(now.sockets_used)} of ${count(now.sockets_total)}`],
    ["Exchange types", now.exchange_types.map(({ name: of }) => of).join(", ")],
  ]);
}

function listenersOf({ listeners }) {
  return plainTable(
    "Listeners",
    ["Protocol", "Address", ["Port", "number"]],
    listeners.map(({ protocol, ip_address: ip, port }) => [protocol, h("code", ip), String(port)]),
    "Nothing listens.",
  );
}

function nameCluster(now, changed) {
  const called = field({ label: "Name", value: now, required: true });
  return change({
    title: "Name of the cluster",
    parts: called.element,
    action: "Set name",
    command: () => command("set_cluster_name", called.value()),
    run: () => put("cluster-name", { name: called.value() }),
    done: () => `The cluster is called ${name(called.value())}.`,
    changed,
  });
}

async function changeSettings(changed) {
  const now = await get("leveret/settings");
  const inMib = (of) => Math.round(of.absolute / MIB);
  const [memoryNow, diskNow] = [now.vm_memory_high_watermark, now.disk_free_limit].map(inMib);
  const number = { type: "number", min: 0, required: true };
  const memory = field({
    label: "Memory limit in MiB",
    hint: "Publishers wait beyond it.",
    value: memoryNow,
    ...number,
  });
  const disk = field({
    label: "Free on the disk, in MiB",
    hint: "Publishers wait while less is free.",
    value: diskNow,
    ...number,
  });
  const level = field({
    label: "Log level",
    type: "choice",
    options: LEVELS,
    value: now.log_level,
  });
  const body = () => ({
    ...(Number(memory.value()) !== memoryNow && {
      vm_memory_high_watermark: { absolute: Number(memory.value()) * MIB },
    }),
    ...(Number(disk.value()) !== diskNow && {
      disk_free_limit: { absolute: Number(disk.value()) * MIB },
    }),
    ...(level.value() !== now.log_level && { log_level: level.value() }),
  });
  return change({
    title: "Settings of the node",
    parts: [memory.element, disk.element, level.element],
    more: h("p.hint", "They hold at once, and until the next start."),
    action: "Set",
    command: () => linesOf(body()) || null,
    run: () => put("leveret/settings", body()),
    done: () => "Set what was changed.",
    changed,
  });
}

function linesOf({ vm_memory_high_watermark: memory, disk_free_limit: disk, log_level: level }) {
  return [
    memory && command("set_vm_memory_high_watermark", "absolute", memory.absolute),
    disk && command("set_disk_free_limit", disk.absolute),
    level && command("set_log_level", level),
  ]
    .filter(Boolean)
    .join("\n");
}
