// What is shown of a channel in a list?

import { h } from "./element.js";
import { name } from "./format.js";
import { badge, channelLink, namedChannel, number, rateOf, vhostOf } from "./parts.js";

// How publishes on a channel are answered.
export function modeBadges({ confirm, transactional }) {
  return h(
    "span.badges",
    confirm && badge("confirms", "plain", "Each publish is confirmed once it is safe"),
    transactional && badge("transactions", "plain", "Publishes and acks count once committed"),
  );
}

// The columns of a list of channels; of one connection's, without what all of them have.
export function channelColumns({ isOfConnection = false } = {}) {
  const first = isOfConnection
    ? {
        id: "number",
        label: "Channel",
        sort: "number",
        isFixed: true,
        cell: (one) => channelLink(one.name, `Channel ${one.number}`),
      }
    : {
        id: "name",
        label: "Channel",
        sort: "name",
        isFixed: true,
        cell: (one) =>
          namedChannel(one.name, one.number, one.connection_details?.user_provided_name),
      };
  const user = {
    id: "user",
    label: "User",
    sort: "user",
    isWide: true,
    cell: ({ user: of, vhost }) => [name(of), vhostOf(vhost)],
  };
  return [first, ...(isOfConnection ? [] : [user]), ...CREDIT, ...RATES];
}

const CREDIT = [
  { id: "mode", label: "Mode", isWide: true, cell: modeBadges },
  {
    id: "consumers",
    label: "Consumers",
    sort: "consumer_count",
    isNumber: true,
    isWide: true,
    cell: ({ consumer_count: many }) => number(many),
  },
  {
    id: "unacked",
    label: "Unacked",
    sort: "messages_unacknowledged",
    isNumber: true,
    hint: "Messages that it has and did not acknowledge",
    cell: ({ messages_unacknowledged: many }) => number(many),
  },
  {
    id: "prefetch",
    label: "Prefetch",
    sort: "prefetch_count",
    isNumber: true,
    isWide: true,
    hint: "So many unacked messages each new consumer may have",
    cell: prefetchOf,
  },
  {
    id: "unconfirmed",
    label: "Unconfirmed",
    sort: "messages_unconfirmed",
    isNumber: true,
    isWide: true,
    hint: "Publishes that were not confirmed yet",
    cell: ({ messages_unconfirmed: many }) => number(many),
  },
];

const perSecond = (id, label, hint, isOff = false) => ({
  id,
  label,
  sort: `message_stats.${id}_details.rate`,
  isNumber: true,
  isWide: true,
  isOff,
  hint,
  cell: (one) => rateOf(id, one),
});

const RATES = [
  perSecond("publish", "Publish/s", "Messages that it publishes in a second"),
  perSecond("confirm", "Confirm/s", "Publishes that are confirmed in a second", true),
  perSecond("deliver_get", "Deliver/s", "Messages that it gets in a second"),
  perSecond("ack", "Ack/s", "Messages that it acknowledges in a second"),
];

// A limit of each consumer, and one of the whole channel.
export function prefetchOf({ prefetch_count: each, global_prefetch_count: all }) {
  if (!each && !all) {
    return h("span.faint", { title: "A consumer gets all at once" }, "no limit");
  }
  return [each ? `${each}` : "", all ? `${all} together` : ""].filter(Boolean).join(", ");
}

// The fields that these columns need.
export const channelFields =
  "name,number,user,vhost,connection_details,confirm,transactional,consumer_count," +
  "messages_unacknowledged,messages_unconfirmed,prefetch_count,global_prefetch_count,message_stats";
