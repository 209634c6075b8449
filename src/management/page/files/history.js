// How did a figure go over time? Histories as the API gives them (`samples`); where it gives none,
// what this page saw itself since it was opened.

import { recall, remember } from "./settings.js";

// What can be looked at: how long, and how far apart the points are that the API is asked for.
export const RANGES = [
  { id: "1m", label: "1 min", seconds: 60, step: 5 },
  { id: "10m", label: "10 min", seconds: 600, step: 5 },
  { id: "1h", label: "1 h", seconds: 3600, step: 60 },
  { id: "8h", label: "8 h", seconds: 28_800, step: 300 },
  { id: "1d", label: "1 day", seconds: 86_400, step: 600 },
];

let range = RANGES.find(({ id }) => id === recall("range", "10m")) ?? RANGES[1];

export const currentRange = () => range;

export function chooseRange(to) {
  range = to;
  remember("range", to.id);
}

// The parameters that ask the API for histories of these kinds: lengths, msg_rates, data_rates,
// node_stats.
export function wanted(...kinds) {
  const pairs = kinds.flatMap((kind) => [
    [`${kind}_age`, range.seconds],
    [`${kind}_incr`, range.step],
  ]);
  return Object.fromEntries(pairs);
}

// Points `[ms, value]`, the newest last, of a level such as a number of messages. `key` names what
// this page remembers, `value` is what it is now, `details` what the API says of it.
export function levels(key, value, details) {
  note(key, value);
  const samples = details?.samples;
  if (samples?.length > 1) {
    return samples.map(({ timestamp, sample }) => [timestamp, sample]).reverse();
  }
  return remembered.get(key) ?? [];
}

// The same of a rate: the API's samples count from the start.
export function rates(key, details) {
  note(key, details?.rate ?? 0);
  const samples = details?.samples;
  if (samples?.length > 1) {
    return steps(samples.map(({ timestamp, sample }) => [timestamp, sample]).reverse());
  }
  return remembered.get(key) ?? [];
}

// How long a sync of the disk took, on average, at the times when there were any.
export const syncTimes = ({ io_sync_avg_time: now, io_sync_avg_time_details: details }) =>
  levels("node io_sync_avg_time", now, details).filter(([, ms]) => ms > 0);

// How long it took the last time, or else since the start.
export const syncTime = (node) => syncTimes(node).at(-1)?.[1] ?? node.io_sync_avg_time;

// What this page saw of a figure.
export const seen = (key) => remembered.get(key) ?? [];

// Notes what a figure is now.
export function note(key, value, now = Date.now()) {
  if (typeof value !== "number") {
    return;
  }
  const points = remembered.get(key) ?? [];
  // The one that changed last comes last: the others make room.
  remembered.delete(key);
  remembered.set(key, points);
  const last = points.at(-1);
  if (last && now - last[0] < POINT_EVERY_MS) {
    last[1] = value;
  } else {
    points.push([now, value]);
  }
  if (points.length > POINTS_MAX) {
    points.shift();
  }
  if (remembered.size > FIGURES_MAX) {
    remembered.delete(remembered.keys().next().value);
  }
}

// So many figures, and points of each, are remembered: some megabytes.
const FIGURES_MAX = 1500;
const POINTS_MAX = 360;
const POINT_EVERY_MS = 900;

const remembered = new Map();

// What was counted between each point and the next, for each second.
function steps(points) {
  return points.slice(1).map(([at, count], index) => {
    const [before, was] = points[index];
    // A count that fell began anew.
    return [at, Math.max(0, (count - was) / ((at - before) / 1000))];
  });
}
