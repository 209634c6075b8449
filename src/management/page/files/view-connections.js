// Who is connected?

import { getPage } from "./api.js";
import { calledOf, closeConnections } from "./connection-close.js";
import { h } from "./element.js";
import { bytesRate, moment, name } from "./format.js";
import { badge, connectionLink, heading, listBehindVhost, number, vhostOf } from "./parts.js";
import { replaceParameters } from "./router.js";
import { table } from "./table.js";

const COLUMNS = [
  {
    id: "name",
    label: "Connection",
    sort: "name",
    isFixed: true,
    cell: (one) => [
      connectionLink(one.name, calledOf(one)),
      one.user_provided_name && h("span.beneath", one.name),
    ],
  },
  {
    id: "user",
    label: "User",
    sort: "user",
    cell: ({ user, vhost }) => [name(user), vhostOf(vhost)],
  },
  { id: "state", label: "State", sort: "state", cell: ({ state }) => stateBadge(state) },
  {
    id: "client",
    label: "Client",
    isWide: true,
    cell: ({ client_properties: of }) => clientOf(of),
  },
  {
    id: "protocol",
    label: "Protocol",
    isWide: true,
    isOff: true,
    cell: ({ protocol }) => protocol,
  },
  {
    id: "tls",
    label: "TLS",
    isWide: true,
    isOff: true,
    cell: ({ ssl, ssl_protocol: version }) => (ssl ? version || "yes" : "no"),
  },
  {
    id: "channels",
    label: "Channels",
    sort: "channels",
    isNumber: true,
    isWide: true,
    cell: ({ channels }) => number(channels),
  },
  {
    id: "in",
    label: "From client",
    sort: "recv_oct_details.rate",
    isNumber: true,
    hint: "Bytes that it sends in a second",
    isWide: true,
    cell: ({ recv_oct_details: details }) => number(details?.rate ?? 0, bytesRate),
  },
  {
    id: "out",
    label: "To client",
    sort: "send_oct_details.rate",
    isNumber: true,
    hint: "Bytes that it gets in a second",
    isWide: true,
    cell: ({ send_oct_details: details }) => number(details?.rate ?? 0, bytesRate),
  },
  {
    id: "since",
    label: "Since",
    sort: "connected_at",
    isWide: true,
    cell: ({ connected_at: at }) => h("span.moment", moment(at)),
  },
];

const FIELDS =
  "name,user_provided_name,user,vhost,state,protocol,ssl,ssl_protocol,channels,connected_at," +
  "recv_oct_details.rate,send_oct_details.rate,client_properties.product," +
  "client_properties.version,client_properties.platform";

const STATES = {
  running: ["good", "Nothing holds it up"],
  blocked: ["bad", "It published, and is not read from until the alarm is over"],
  blocking: ["warn", "It is blocked when it publishes: there is an alarm"],
  flow: ["warn", "It publishes faster than the broker stores, and is slowed down"],
};

// What state a connection is in, and what that means.
export function stateBadge(state) {
  const [kind, hint] = STATES[state] ?? ["plain", undefined];
  return badge(state, kind, hint);
}

// Which program is at the other end.
export function clientOf({ product, version, platform } = {}) {
  const text = [product, version].filter((one) => typeof one === "string").join(" ");
  return text || platform || h("span.faint", "–");
}

export const connections = {
  path: "connections",
  id: "connections",
  right: "management",
  title: () => "Connections",
  open(page) {
    const list = table({
      name: "connections",
      label: "Connections",
      noun: "connection",
      searchHint: "Filter by user, client, vhost, address",
      columns: COLUMNS,
      sort: "name",
      search: page.parameters.name ?? "",
      searched: (text) => replaceParameters({ name: text }),
      keyOf: (one) => one.name,
      load: ({ search, ...wanted }) =>
        getPage(listBehindVhost("connections"), wanted, page.signal, { columns: FIELDS, search }),
      empty: "Nobody is connected. Programs connect to the AMQP port, 5672 by default.",
      actions: [
        {
          label: "Close…",
          isDangerous: true,
          run: async (rows) => {
            if (await closeConnections(rows)) {
              list.unmark();
              page.refresh();
            }
          },
        },
      ],
    });
    page.root.append(heading("Connections"), list.element);
    return { update: list.update };
  },
};
