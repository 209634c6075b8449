// Is anything wrong? What the broker knows that somebody should look at, the worst first.

import { get, query } from "./api.js";
import { duration, name, plural, rate } from "./format.js";
import { syncTime } from "./history.js";
import { listOf } from "./parts.js";
import { STUCK_MS, stuckLevel } from "./queue-diagnosis.js";
import { link } from "./router.js";
import { may } from "./session.js";

const NAMED_MAX = 3;
const STATES = [
  {
    state: "growing,no_consumers",
    level: "bad",
    text: (number) =>
      `${plural(number, "queue")} ${number === 1 ? "grows" : "grow"} and nobody consumes`,
    of: ({ messages, message_stats: stats }) =>
      `${plural(messages, "message")}, ${rate(stats?.publish_details?.rate)} in`,
  },
  {
    state: "full",
    level: "bad",
    text: (number) =>
      `${plural(number, "queue")} ${number === 1 ? "is" : "are"} full and ` +
      `${number === 1 ? "refuses" : "refuse"} what is published`,
    of: ({ messages_ready: ready }) => plural(ready, "message"),
  },
  {
    state: "no_consumers,idle",
    level: "warn",
    text: (number) => `Messages wait in ${plural(number, "queue")} without consumers`,
    of: ({ messages_ready: ready }) => plural(ready, "message"),
  },
];

// All findings: [{ level, text, href, named: [{ text, hint, href }] }].
export async function findings(node, signal) {
  const asked = STATES.map((one) => queuesIn(one, signal));
  const [alarms, stuck, ...states] = await Promise.all([
    alarmsOf(node, signal),
    stuckConsumers(signal),
    ...asked,
  ]);
  const found = [...alarms, ...slowness(node), stuck, ...states].filter((one) => one !== null);
  return found.sort((one, other) => (one.level === other.level ? 0 : one.level === "bad" ? -1 : 1));
}

async function queuesIn({ state, level, text, of }, signal) {
  const columns =
    "name,vhost,messages,messages_ready,messages_unacknowledged," +
    "message_stats.publish_details,oldest_message_age_ms";
  const parameters = {
    state,
    page: 1,
    page_size: NAMED_MAX,
    sort: "messages",
    sort_reverse: true,
    columns,
  };
  const answer = await get(query(queuesPath(), parameters), { signal });
  if (answer.filtered_count === 0) {
    return null;
  }
  const named = answer.items.map((queue) => ({
    text: name(queue.name),
    hint: [of(queue), age(queue)].filter(Boolean).join(", "),
    href: link(["queues", queue.vhost, queue.name]),
  }));
  return { level, text: text(answer.filtered_count), href: link(["queues"], { state }), named };
}

// Consumers that hold messages and acknowledge none, by their queues.
const CONSUMERS_MAX = 50;

async function stuckConsumers(signal) {
  const { items, filtered_count: number } = await get(
    query(listOf("consumers"), {
      awaiting_ack_ms_min: STUCK_MS,
      page: 1,
      page_size: CONSUMERS_MAX,
      sort: "awaiting_ack_ms",
      sort_reverse: true,
      columns: "queue,messages_unacknowledged,awaiting_ack_ms",
    }),
    { signal },
  );
  if (number === 0) {
    return null;
  }
  const queues = new Map();
  for (const { queue, messages_unacknowledged: unacked, awaiting_ack_ms: ms } of items) {
    const key = JSON.stringify([queue.vhost, queue.name]);
    // The one that was awaited longest comes first.
    const known = queues.get(key) ?? { queue, unacked: 0, ms };
    queues.set(key, { ...known, unacked: known.unacked + unacked });
  }
  const named = [...queues.values()].slice(0, NAMED_MAX).map(({ queue, unacked, ms }) => ({
    text: name(queue.name),
    hint: `${plural(unacked, "message")} unacked, no ack for ${duration(ms)}`,
    href: link(["queues", queue.vhost, queue.name]),
  }));
  const text =
    `${plural(number, "consumer")} ${number === 1 ? "holds" : "hold"} messages and ` +
    `${number === 1 ? "acknowledges" : "acknowledge"} none`;
  return { level: stuckLevel(items[0]?.awaiting_ack_ms), text, href: null, named };
}

const age = ({ oldest_message_age_ms: ms }) => typeof ms === "number" && `oldest ${duration(ms)}`;

// The list of queues of the vhost that is looked at.
export const queuesPath = () => listOf("queues");

// Who may not monitor is told only that there is one.
async function alarmsOf(node, signal) {
  const blocked = node?.connections_blocked ?? 0;
  const named = blocked > 0 && {
    text: plural(blocked, "connection"),
    hint: blocked === 1 ? "is blocked" : "are blocked",
    href: link(["connections"]),
  };
  const alarm = (text) => ({ level: "bad", text, href: null, named: named ? [named] : [] });
  if (node) {
    return [
      node.mem_alarm && alarm("Memory is full: publishers are blocked until consumers catch up"),
      node.disk_free_alarm &&
        alarm(
          "The disk is full: publishers are blocked until there is space or queues get shorter",
        ),
    ].filter(Boolean);
  }
  try {
    await get("health/checks/alarms", { signal });
    return [];
  } catch (error) {
    if (error.status !== 503) {
      throw error;
    }
    return [alarm("There is an alarm: publishers are blocked for want of memory or disk")];
  }
}

// A sync that takes that long makes every confirm as slow.
const SYNC_MS_MAX = 250;
const FILES_SHARE_MAX = 0.9;

function slowness(node) {
  if (!node || !may("monitoring")) {
    return [];
  }
  const found = [];
  const sync = syncTime(node);
  if (typeof sync === "number" && sync > SYNC_MS_MAX) {
    const text = `The disk takes ${duration(sync)} for a sync: confirms are as slow as that`;
    found.push({ level: "warn", text, href: null, named: [] });
  }
  if (node.fd_used > node.fd_total * FILES_SHARE_MAX) {
    const used = `${node.fd_used} of ${node.fd_total} file descriptors are open`;
    const text = `${used}: connections may be refused`;
    found.push({ level: "bad", text, href: null, named: [] });
  }
  return found;
}
