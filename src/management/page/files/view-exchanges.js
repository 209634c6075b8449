// Which exchanges are there?

import { getPage } from "./api.js";
import { h } from "./element.js";
import { declareExchange } from "./exchange-declare.js";
import { deleteExchanges } from "./exchange-delete.js";
import { name } from "./format.js";
import { badge, exchangeLink, heading, listOf, rateOf, vhostOf } from "./parts.js";
import { replaceParameters } from "./router.js";
import { table } from "./table.js";

const COLUMNS = [
  {
    id: "name",
    label: "Name",
    sort: "name",
    isFixed: true,
    cell: (one) => [exchangeLink(one.vhost, one.name), vhostOf(one.vhost)],
  },
  { id: "type", label: "Type", sort: "type", cell: ({ type }) => type },
  { id: "features", label: "Features", isWide: true, cell: (one) => featureBadges(one) },
  {
    id: "in",
    label: "In/s",
    sort: "message_stats.publish_in_details.rate",
    isNumber: true,
    hint: "Messages published to it in a second",
    cell: (one) => rateOf("publish_in", one),
  },
  {
    id: "out",
    label: "Out/s",
    sort: "message_stats.publish_out_details.rate",
    isNumber: true,
    isWide: true,
    hint: "Messages that went to queues in a second; to two queues is twice",
    cell: (one) => rateOf("publish_out", one),
  },
];

const FIELDS =
  "name,vhost,type,durable,auto_delete,internal,arguments,policy," +
  "message_stats.publish_in_details.rate,message_stats.publish_out_details.rate";

// What is special about an exchange.
export function featureBadges({
  durable,
  auto_delete: autoDelete,
  internal,
  arguments: of,
  policy,
}) {
  const alternate = of?.["alternate-exchange"];
  return h(
    "span.badges",
    !durable && badge("transient", "plain", "It is gone when the broker stops"),
    autoDelete && badge("auto-delete", "plain", "It goes with the last thing bound to it"),
    internal && badge("internal", "plain", "Only other exchanges lead to it"),
    typeof alternate === "string" &&
      badge("AE", "plain", `What nothing takes goes to ${name(alternate)}`),
    policy && badge(policy, "policy", "Its policy"),
  );
}

export const exchanges = {
  path: "exchanges",
  id: "exchanges",
  right: "management",
  title: () => "Exchanges",
  open(page) {
    const list = table({
      name: "exchanges",
      label: "Exchanges",
      noun: "exchange",
      columns: COLUMNS,
      sort: "name",
      search: page.parameters.name ?? "",
      searched: (text) => replaceParameters({ name: text }),
      keyOf: (one) => JSON.stringify([one.vhost, one.name]),
      nameOf: (key) => JSON.parse(key)[1] || "the default exchange",
      load: (wanted) => getPage(listOf("exchanges"), wanted, page.signal, { columns: FIELDS }),
      empty: "You may enter no virtual host: there is no exchange to see.",
      actions: [
        {
          label: "Delete…",
          isDangerous: true,
          run: async (rows) => {
            if (await deleteExchanges(rows)) {
              list.unmark();
              page.refresh();
            }
          },
        },
      ],
    });
    const create = h("button", { type: "button", onclick: declareExchange }, "New exchange…");
    page.root.append(heading("Exchanges", [], create), list.element);
    return { update: list.update };
  },
};
