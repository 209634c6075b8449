// Which virtual hosts are there, and how much goes on in them?

import { get } from "./api.js";
import { button, tabs } from "./admin.js";
import { h } from "./element.js";
import { name } from "./format.js";
import { note, seen } from "./history.js";
import { badge, heading, number, rateOf } from "./parts.js";
import { link } from "./router.js";
import { may } from "./session.js";
import { spark } from "./spark.js";
import { pageOf, table } from "./table.js";
import { createVhost } from "./vhost-forms.js";

const rateColumn = (id, label, field, hint) => ({
  id,
  label,
  sort: `message_stats.${field}_details.rate`,
  isNumber: true,
  isWide: true,
  hint,
  cell: (vhost) => rateOf(field, vhost),
});

const numberColumn = (id, label, of, more = {}) => ({
  id,
  label,
  sort: of,
  isNumber: true,
  cell: (vhost) => number(vhost[of]),
  ...more,
});

// What is said of a virtual host, in words.
export function marksOf(vhost) {
  const type = vhost.default_queue_type;
  return h(
    "span.badges",
    vhost.tags.map((tag) => badge(tag)),
    type !== "undefined" && badge(`${type} by default`, "policy", "Queues without a type"),
    vhost.protected_from_deletion && badge("protected", "good", "It cannot be deleted"),
    vhost.tracing && badge("traced", "warn", "Copies of all messages are published"),
  );
}

const COLUMNS = [
  {
    id: "name",
    label: "Name",
    sort: "name",
    isFixed: true,
    cell: ({ name: vhost }) =>
      may("administrator")
        ? h("a.name", { href: link(["vhosts", vhost]) }, name(vhost))
        : h("strong", name(vhost)),
  },
  {
    id: "description",
    label: "Description",
    isWide: true,
    cell: ({ description }) => description,
  },
  { id: "marks", label: "Tags", isWide: true, cell: marksOf },
  {
    id: "history",
    label: "Messages over time",
    isWide: true,
    cell: ({ name: vhost }) => spark(seen(`vhost ${vhost}`)),
  },
  numberColumn("queues", "Queues", "queues"),
  numberColumn("ready", "Ready", "messages_ready"),
  numberColumn("unacked", "Unacked", "messages_unacknowledged"),
  numberColumn("messages", "Total", "messages", { isOff: true }),
  rateColumn("in", "In/s", "publish", "Messages published in a second"),
  rateColumn("out", "Out/s", "deliver_get", "Messages delivered in a second"),
];

export const vhosts = {
  path: "vhosts",
  id: "admin",
  right: "management",
  title: () => "Virtual hosts",
  open(page) {
    const list = table({
      name: "vhosts",
      label: "Virtual hosts",
      noun: "virtual host",
      columns: COLUMNS,
      sort: "name",
      keyOf: ({ name: vhost }) => vhost,
      load: (wanted) => load(wanted, page.signal),
      empty: "There is no virtual host that you may enter.",
    });
    const create =
      may("administrator") && button("New virtual host…", () => createVhost(page.refresh));
    page.root.append(tabs("vhosts"), heading("Virtual hosts", [], create || []), list.element);
    return { update: list.update };
  },
};

async function load(wanted, signal) {
  const all = await get("vhosts", { signal });
  all.forEach((vhost) => note(`vhost ${vhost.name}`, vhost.messages));
  return pageOf(all, wanted, ({ name: vhost, description, tags }) => [vhost, description, ...tags]);
}
