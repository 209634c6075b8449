// Who consumes from a queue, what do they have, and how does the queue get it back?

import { path, post } from "./api.js";
import { ask } from "./dialog.js";
import { h } from "./element.js";
import { command, count, duration, plural } from "./format.js";
import { badge, namedChannel, plainTable } from "./parts.js";
import { STUCK_MS } from "./queue-diagnosis.js";

const HEADS = [
  ["Tag", "wide-only"],
  "Channel",
  ["User", "wide-only"],
  ["Acks", "wide-only"],
  ["Prefetch", "number wide-only"],
  ["Unacked", "number"],
  ["Last ack", "number"],
  ["State", "wide-only"],
  "",
];

// The consumers of a queue as the API shows it; `changed` is called after an action.
export function consumersOf(queue, changed) {
  const rows = queue.consumer_details.map((one) => rowOf(queue, one, changed));
  return plainTable("Consumers", HEADS, rows, "Nobody consumes from this queue.");
}

function rowOf(queue, one, changed) {
  const { name: channel, number, user, user_provided_name: called } = one.channel_details;
  const has = (value, format) => (value === undefined ? h("span.faint", "–") : format(value));
  const unacked = one.messages_unacknowledged;
  return [
    h("code", one.consumer_tag),
    channel ? namedChannel(channel, number, called) : "–",
    user ?? "",
    one.ack_required ? "by hand" : "automatic",
    one.prefetch_count === 0
      ? h("span.warn-text", { title: "It gets all at once" }, "no limit")
      : count(one.prefetch_count),
    has(unacked, count),
    lastAck(one),
    badge(one.activity_status, one.active ? "good" : "plain"),
    unacked > 0 &&
      !queue.auto_delete &&
      h("button", { type: "button", onclick: () => takeBack(queue, one, changed) }, "Take back…"),
  ];
}

// When it last acknowledged something, and for how long it has held messages since then.
export function lastAck({ ack_required: acks, last_ack_age_ms: age, awaiting_ack_ms: held }) {
  if (!acks || (age === undefined && held === 0)) {
    return h("span.faint", "–");
  }
  const text = age === undefined ? "never" : `${duration(age)} ago`;
  if (held < STUCK_MS) {
    return text;
  }
  return [h("span.warn-text", text), h("span.beneath", `none in ${duration(held)}`)];
}

async function takeBack({ vhost, name }, one, changed) {
  const many = plural(one.messages_unacknowledged, "message");
  const isDone = await ask({
    title: `Take ${many} back from ${one.consumer_tag}?`,
    text: h(
      "p",
      `The consumer is cancelled, and ${many} go back to ${name}, marked as redelivered. `,
      "What it still does with them may be done twice.",
    ),
    action: `Take ${many} back`,
    command: command(
      "requeue_unacked",
      name,
      "--consumer-tag",
      one.consumer_tag,
      "--channel",
      one.channel_details.name,
      "-p",
      vhost,
    ),
    run: () =>
      post(path`queues/${vhost}/${name}/messages/requeue`, {
        consumer_tag: one.consumer_tag,
        channel: one.channel_details.name,
      }),
    done: `Took ${many} back.`,
  });
  return isDone && changed();
}
