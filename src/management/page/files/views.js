// Which views are there, and where does the navigation lead?
//
// A view is one file `view-*.js` that exports an object, which stands in the list below:
//
//   path      its address: "queues/:vhost/:name"; `:name` stands for any one segment
//   id        the entry of the navigation that is marked while it is shown
//   right     who sees it: management, policymaker, monitoring or administrator
//   title     names => the window's title
//   open      page => { update, close }: builds the view once
//
// What `open` gets:
//
//   page.root        the element to put the view into; its first heading is an `h1`
//   page.names       what stands in the address for `:name`
//   page.parameters  what stands behind `?` in the address
//   page.signal      aborted when the view is left: pass it to `get` of api.js
//   page.refresh()   has `update` called at once: after every action
//
// `update` is called at once, then every few seconds; never twice at a time. It asks the API and
// changes what is there; it does not build anew, so that focus, selection and what was typed stay.
// What it throws is shown above the view until the next one succeeds. `close` is optional.
//
// Everything is made by `h` of element.js, so that no name and no body is ever read as HTML.
// Actions go through `ask` of dialog.js when they destroy something, with the line of leveretctl
// that does the same; others through `form` of form.js, which shows the error where it arose. Lists
// are `table`, figures over time `chart`, and small parts stand in parts.js.

import { channel } from "./view-channel.js";
import { channels } from "./view-channels.js";
import { connection } from "./view-connection.js";
import { connections } from "./view-connections.js";
import { definitions } from "./view-definitions.js";
import { exchange } from "./view-exchange.js";
import { exchanges } from "./view-exchanges.js";
import { node } from "./view-node.js";
import { overview } from "./view-overview.js";
import { parameters } from "./view-parameters.js";
import { permissions } from "./view-permissions.js";
import { policies } from "./view-policies.js";
import { queue } from "./view-queue.js";
import { queues } from "./view-queues.js";
import { user } from "./view-user.js";
import { users } from "./view-users.js";
import { vhost } from "./view-vhost.js";
import { vhosts } from "./view-vhosts.js";

const ADMIN = [vhosts, vhost, users, user, permissions, policies, parameters, definitions, node];

export const VIEWS = [
  overview,
  queues,
  queue,
  exchanges,
  exchange,
  connections,
  connection,
  channels,
  channel,
  ...ADMIN,
];

// In this order; an entry stands here when its view is there.
export const NAVIGATION = [
  { id: "overview", label: "Overview", path: [], right: "management" },
  { id: "queues", label: "Queues", path: ["queues"], right: "management" },
  { id: "exchanges", label: "Exchanges", path: ["exchanges"], right: "management" },
  { id: "connections", label: "Connections", path: ["connections"], right: "management" },
  { id: "channels", label: "Channels", path: ["channels"], right: "management" },
  { id: "admin", label: "Admin", path: ["vhosts"], right: "management" },
];
