// Which queues are there, which of them have a problem, and what is done with many at once?

import { getPage, path, remove } from "./api.js";
import { ask } from "./dialog.js";
import { h } from "./element.js";
import { queuesPath } from "./findings.js";
import { bytes, command, duration, name, plural } from "./format.js";
import { note, seen } from "./history.js";
import { badge, heading, number, queueLink, rateOf, vhostOf } from "./parts.js";
import { declare } from "./queue-declare.js";
import { stateChoices } from "./queue-states.js";
import { replaceParameters } from "./router.js";
import { session } from "./session.js";
import { spark } from "./spark.js";
import { table } from "./table.js";

const keyOf = ({ vhost, name: queue }) => JSON.stringify([vhost, queue]);

const COLUMNS = [
  {
    id: "name",
    label: "Name",
    sort: "name",
    isFixed: true,
    cell: (queue) => [queueLink(queue.vhost, queue.name), vhostOf(queue.vhost)],
  },
  { id: "features", label: "Features", isWide: true, cell: featuresOf },
  { id: "policy", label: "Policy", isWide: true, isOff: true, cell: ({ policy }) => policy ?? "" },
  {
    id: "history",
    label: "Messages over time",
    isWide: true,
    cell: (queue) => spark(seen(`queue ${keyOf(queue)}`)),
  },
  {
    id: "ready",
    label: "Ready",
    sort: "messages_ready",
    isNumber: true,
    cell: (queue) => number(queue.messages_ready),
  },
  {
    id: "unacked",
    label: "Unacked",
    sort: "messages_unacknowledged",
    isNumber: true,
    cell: (queue) => number(queue.messages_unacknowledged),
  },
  {
    id: "messages",
    label: "Total",
    sort: "messages",
    isNumber: true,
    isOff: true,
    cell: (queue) => number(queue.messages),
  },
  {
    id: "bytes",
    label: "Size",
    sort: "message_bytes",
    isNumber: true,
    isOff: true,
    cell: (queue) => bytes(queue.message_bytes),
  },
  {
    id: "consumers",
    label: "Consumers",
    sort: "consumers",
    isNumber: true,
    isWide: true,
    cell: (queue) => number(queue.consumers),
  },
  {
    id: "in",
    label: "In/s",
    sort: "message_stats.publish_details.rate",
    isNumber: true,
    isWide: true,
    hint: "Messages published in a second",
    cell: (queue) => rateOf("publish", queue),
  },
  {
    id: "out",
    label: "Out/s",
    sort: "message_stats.deliver_get_details.rate",
    isNumber: true,
    isWide: true,
    hint: "Messages delivered in a second",
    cell: (queue) => rateOf("deliver_get", queue),
  },
  {
    id: "ack",
    label: "Ack/s",
    sort: "message_stats.ack_details.rate",
    isNumber: true,
    isWide: true,
    isOff: true,
    cell: (queue) => rateOf("ack", queue),
  },
  {
    id: "oldest",
    label: "Oldest",
    sort: "oldest_message_age_ms",
    isNumber: true,
    isWide: true,
    hint: "How long the first message has waited",
    cell: ({ oldest_message_age_ms: ms }) => duration(ms),
  },
];

const FIELDS =
  "name,vhost,type,durable,exclusive,auto_delete,arguments,policy,messages,messages_ready," +
  "messages_unacknowledged,message_bytes,consumers,message_stats,oldest_message_age_ms";

export const queues = {
  path: "queues",
  id: "queues",
  right: "management",
  title: () => "Queues",
  open(page) {
    const chosen = new Set((page.parameters.state ?? "").split(",").filter(Boolean));
    const remembered = { search: page.parameters.name ?? "" };
    const address = () =>
      replaceParameters({ name: remembered.search, state: [...chosen].join(",") });
    const states = stateChoices(chosen, () => {
      address();
      list.reset();
    });
    const list = table({
      name: "queues",
      label: "Queues",
      noun: "queue",
      columns: COLUMNS,
      sort: "name",
      search: remembered.search,
      searched: (text) => {
        remembered.search = text;
        address();
      },
      controls: states,
      keyOf,
      nameOf: (key) => JSON.parse(key)[1],
      load: (wanted) => load(wanted, chosen, page.signal),
      empty: "There is no queue yet. Programs declare them; so can you.",
      actions: [
        { label: "Purge…", isDangerous: true, run: (rows) => purge(rows, list, page) },
        { label: "Delete…", isDangerous: true, run: (rows) => drop(rows, list, page) },
      ],
    });
    const create = h("button", { type: "button", onclick: () => declare(page) }, "New queue…");
    page.root.append(heading("Queues", [], create), list.element);
    return { update: list.update };
  },
};

async function load(wanted, chosen, signal) {
  const more = { state: [...chosen].join(","), columns: FIELDS };
  const answer = await getPage(queuesPath(), wanted, signal, more);
  answer.items.forEach((queue) => note(`queue ${keyOf(queue)}`, queue.messages));
  return answer;
}

function featuresOf(queue) {
  const { type, durable, exclusive, auto_delete: autoDelete, arguments: of, policy } = queue;
  const has = (argument) => of?.[argument] !== undefined;
  return h(
    "span.badges",
    type !== "classic" && badge(type),
    !durable && badge("transient", "plain", "It is gone when the broker stops"),
    exclusive && badge("exclusive", "plain", "It goes with the connection that declared it"),
    autoDelete && badge("auto-delete", "plain", "It goes with its last consumer"),
    has("x-message-ttl") &&
      badge("TTL", "plain", `Messages expire after ${of["x-message-ttl"]} ms`),
    has("x-max-length") && badge("max", "plain", `At most ${of["x-max-length"]} messages`),
    has("x-dead-letter-exchange") &&
      badge("DLX", "plain", `Dead letters go to ${name(of["x-dead-letter-exchange"])}`),
    policy && badge(policy, "policy", "Its policy"),
  );
}

const listed = (rows) =>
  h(
    "ul.listed",
    rows
      .slice(0, 10)
      .map((queue) =>
        h(
          "li",
          h("strong", name(queue.name)),
          ` – ${plural(queue.messages, "message")}`,
          session.vhosts.length > 1 && ` in ${queue.vhost}`,
        ),
      ),
    rows.length > 10 && h("li", `and ${plural(rows.length - 10, "more", "more")}`),
  );

const sum = (rows) => rows.reduce((total, { messages }) => total + (messages ?? 0), 0);

// Typed is what somebody would not type by accident.
const TYPED_FROM = 1000;
const typedFor = (number) => (number >= TYPED_FROM ? String(number) : undefined);

// One after the other, so that nothing waits behind a thousand of them; stops at the first error.
// One that is gone needs nothing more.
async function each(rows, act, list) {
  for (const row of rows) {
    await act(row).catch((error) => {
      if (error.status !== 404) {
        throw error;
      }
    });
  }
  list.unmark();
}

async function purge(rows, list, page) {
  const ready = rows.reduce((total, queue) => total + (queue.messages_ready ?? 0), 0);
  const isDone = await ask({
    title: `Purge ${plural(rows.length, "queue")}?`,
    text: [
      h(
        "p",
        `${plural(ready, "message")} that wait there are gone for good. `,
        "Those that consumers have are not.",
      ),
      listed(rows),
    ],
    action: `Purge ${plural(ready, "message")}`,
    typed: typedFor(ready),
    command: rows.map((queue) => command("purge_queue", "-p", queue.vhost, queue.name)).join("\n"),
    run: () =>
      each(rows, (queue) => remove(path`queues/${queue.vhost}/${queue.name}/contents`), list),
    done: `Purged ${plural(rows.length, "queue")}.`,
  });
  return isDone && page.refresh();
}

async function drop(rows, list, page) {
  const isDone = await ask({
    title: `Delete ${plural(rows.length, "queue")}?`,
    text: [
      h(
        "p",
        `They go with ${plural(sum(rows), "message")} and their bindings. `,
        "Consumers are told.",
      ),
      listed(rows),
    ],
    action: `Delete ${plural(rows.length, "queue")}`,
    typed: typedFor(sum(rows)),
    command: rows.map((queue) => command("delete_queue", "-p", queue.vhost, queue.name)).join("\n"),
    run: () => each(rows, (queue) => remove(path`queues/${queue.vhost}/${queue.name}`), list),
    done: `Deleted ${plural(rows.length, "queue")}.`,
  });
  return isDone && page.refresh();
}
