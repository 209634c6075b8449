// How do figures of one thing go over time? The charts that several views have, of what the API
// says of it, with the same colour for the same figure everywhere.

import { chart } from "./chart.js";
import { bytes, compact, rateNumber } from "./format.js";
import { levels, rates } from "./history.js";

const LINES = {
  publish: ["Publish", 1],
  confirm: ["Confirm", 2],
  deliver_get: ["Deliver", 3],
  ack: ["Ack", 4],
  redeliver: ["Redeliver", 5],
  return_unroutable: ["Returned", 5],
  drop_unroutable: ["Dropped", 6],
  publish_in: ["Published to it", 1],
  publish_out: ["Into queues", 3],
  messages_ready: ["Ready", 1],
  messages_unacknowledged: ["Unacked", 2],
  recv_oct: ["From client", 1],
  send_oct: ["To client", 3],
};

// What is counted, each second. `update(key, stats)` draws what is under `..._details` in `stats`;
// `key` names the thing.
export const rateChart = (title, name, ids) =>
  figureChart({ title, name, format: rateNumber }, ids, rateOf);

// The same of bytes.
export const bytesChart = (title, name, ids) =>
  figureChart({ title, name, format: bytes, isBytes: true }, ids, rateOf);

// How many messages there are.
export const lengthsChart = (title, name) =>
  figureChart(
    { title, name, format: compact, isWhole: true },
    ["messages_ready", "messages_unacknowledged"],
    (key, id, lengths) => levels(key, lengths?.[id], lengths?.[`${id}_details`]),
  );

// One figure of the node, in a view of this name: its level, or other points.
export function nodeChart(view, [title, id, format, isBytes, label], pointsOf = nodeLevel) {
  const lines = [{ id, label, color: 1 }];
  const { element, update } = chart({ title, name: `${view}.${id}`, format, isBytes, lines });
  return { element, update: (node) => update({ [id]: pointsOf(id, node) }) };
}

const nodeLevel = (id, node) => levels(`node ${id}`, node[id], node[`${id}_details`]);

const rateOf = (key, id, stats) => rates(key, stats?.[`${id}_details`]);

function figureChart(options, ids, pointsOf) {
  const lines = ids.map((id) => ({ id, label: LINES[id][0], color: LINES[id][1] }));
  const { element, update } = chart({ ...options, lines });
  const draw = (key, figures) =>
    update(Object.fromEntries(ids.map((id) => [id, pointsOf(`${key} ${id}`, id, figures)])));
  return { element, update: draw };
}
