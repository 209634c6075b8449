// Is something wrong with a queue, why, and what can be done?

import { bytes, count, duration, plural, rate } from "./format.js";

// Somebody should know of a message that waits so long while there are consumers.
const OLD_MS = 10 * 60_000;

// A consumer that has held messages for so long and acknowledged none may be stuck, and after the
// second time it most likely is.
export const STUCK_MS = 10_000;
const SURELY_STUCK_MS = 60_000;

// How bad it is that somebody has not acknowledged for so long.
export const stuckLevel = (ms) => (ms >= SURELY_STUCK_MS ? "bad" : "warn");

// What is found: [{ level, text, advice }], the worst first.
export function diagnoses(queue) {
  const { messages_ready: ready, messages_unacknowledged: unacked, consumers } = queue;
  const stats = queue.message_stats ?? {};
  const speed = (...ids) => ids.reduce((sum, id) => sum + (stats[`${id}_details`]?.rate ?? 0), 0);
  const incoming = speed("publish");
  const outgoing = speed("ack", "deliver_no_ack", "get_no_ack");
  const found = [];
  if (consumers === 0 && ready > 0) {
    found.push({
      level: incoming > 0 ? "bad" : "warn",
      text:
        incoming > 0
          ? `Nobody consumes, and it grows by ${rate(incoming)}.`
          : `Nobody consumes: ${plural(ready, "message")} ${ready === 1 ? "waits" : "wait"}.`,
      advice: "Start its consumer, or see why it does not connect.",
    });
  }
  const held = stuck(queue);
  found.push(...held, ...full(queue));
  if (held.length === 0 && consumers > 0 && ready > 0 && incoming > outgoing) {
    found.push({
      level: "warn",
      text: `It grows: ${rate(incoming)} come and ${rate(outgoing)} go.`,
      advice: "Consumers are too slow, or too few.",
    });
  } else if (held.length === 0 && consumers > 0 && queue.oldest_message_age_ms > OLD_MS) {
    found.push({
      level: "warn",
      text: `The first message has waited ${duration(queue.oldest_message_age_ms)}.`,
    });
  }
  if (
    queue.consumer_details?.some(
      ({ prefetch_count: most, ack_required: has }) => has && most === 0,
    ) &&
    unacked > 1000
  ) {
    found.push({
      level: "warn",
      text: `Consumers without a prefetch limit hold ${count(unacked)} messages.`,
      advice: "Set basic.qos: otherwise one of them gets everything at once.",
    });
  }
  return found.sort(
    (one, other) => (one.level === "bad" ? 0 : 1) - (other.level === "bad" ? 0 : 1),
  );
}

// Consumers that hold messages and acknowledge none.
function stuck({ consumers, consumer_details: all = [] }) {
  const held = all.filter(({ awaiting_ack_ms: ms }) => ms >= STUCK_MS);
  if (held.length === 0) {
    return [];
  }
  const sum = held.reduce((total, one) => total + one.messages_unacknowledged, 0);
  const longest = Math.max(...held.map(({ awaiting_ack_ms: ms }) => ms));
  const isOne = held.length === 1;
  const who =
    isOne && consumers > 1
      ? `One of ${count(consumers)} consumers`
      : plural(held.length, "consumer");
  const isFull = ({ prefetch_count: most, messages_unacknowledged: has }) =>
    most > 0 && has >= most;
  return [
    {
      level: stuckLevel(longest),
      text:
        `${who} ${isOne ? "holds" : "hold"} ${plural(sum, "message")} and ` +
        `${isOne ? "has" : "have"} acked none for ${duration(longest)}.`,
      advice:
        (held.every(isFull) ? "As many as prefetch allows: nothing more comes until then. " : "") +
        "The program hangs, works for long, or forgets to ack: look at its consumers below.",
    },
  ];
}

// Whether its length allows no more of what it has.
function full(queue) {
  const { messages_ready: ready, message_bytes_ready: size = 0 } = queue;
  const usual = Math.max(1, Math.floor(size / Math.max(1, ready)));
  const found = [
    limited(queue, "max-length", ready + 1, (most) => plural(most, "message")),
    limited(queue, "max-length-bytes", size + usual, bytes),
  ];
  return ready === 0 ? [] : found.filter((one) => one !== null).slice(0, 1);
}

// What a rule says when one message more is there.
function limited(queue, rule, next, format) {
  const { arguments: own = {}, effective_policy_definition: rules = {} } = queue;
  const most = Math.min(own[`x-${rule}`] ?? Infinity, rules[rule] ?? Infinity);
  if (next <= most) {
    return null;
  }
  const isOwn = own[`x-${rule}`] === most;
  const why = isOwn ? `its argument x-${rule}` : `policy ${policyOf(queue)}`;
  const text = `It is full: ${why} allows ${format(most)}, and `;
  const overflow = own["x-overflow"] ?? rules.overflow ?? "drop-head";
  return overflow === "drop-head"
    ? { level: "warn", text: `${text}the oldest make room for new ones.` }
    : {
        level: "bad",
        text: `${text}what is published is refused.`,
        advice: "Consume faster, or allow more: publishers are told by basic.nack, if they ask.",
      };
}

const policyOf = ({ policy, operator_policy: operator }) =>
  [policy, operator].filter(Boolean).join(" or ");
