// Is something wrong with a queue, why, and what can be done?

import { count, duration, plural, rate } from "./format.js";

// Somebody should know of a message that waits so long while there are consumers.
const OLD_MS = 10 * 60_000;

// What is found: [{ level, text, advice }], the worst first.
export function diagnoses(queue) {
  const { messages_ready: ready, messages_unacknowledged: unacked, consumers } = queue;
  const stats = queue.message_stats ?? {};
  const speed = (...ids) => ids.reduce((sum, id) => sum + (stats[`${id}_details`]?.rate ?? 0), 0);
  const incoming = speed("publish");
  const outgoing = speed("ack", "deliver_no_ack", "get_no_ack");
  const delivered = speed("deliver_get");
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
  if (consumers > 0 && unacked > 0 && outgoing === 0 && delivered === 0) {
    found.push({
      level: "bad",
      text:
        `${plural(consumers, "consumer")} ${consumers === 1 ? "holds" : "hold"} ` +
        `${plural(unacked, "message")} and ${consumers === 1 ? "acks" : "ack"} none.`,
      advice: "The program hangs, works for long, or forgets to ack: look at its consumers below.",
    });
  } else if (consumers > 0 && ready > 0 && incoming > outgoing) {
    found.push({
      level: "warn",
      text: `It grows: ${rate(incoming)} come and ${rate(outgoing)} go.`,
      advice: "Consumers are too slow, or too few.",
    });
  } else if (consumers > 0 && queue.oldest_message_age_ms > OLD_MS) {
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
  return found;
}
