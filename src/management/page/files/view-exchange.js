// What does an exchange do with a message: what comes, where does it go, where would it go?

import { get, path, query } from "./api.js";
import { rangeChooser } from "./chart.js";
import { h } from "./element.js";
import { bindingsOf } from "./exchange-bindings.js";
import { TYPES } from "./exchange-declare.js";
import { deleteExchanges, isBuiltIn } from "./exchange-delete.js";
import { previewOf } from "./exchange-preview.js";
import { rateChart } from "./figure-charts.js";
import { compact, count, exchangeName, name, rate, value } from "./format.js";
import { wanted } from "./history.js";
import { badge, exchangeLink, facts, heading, replace, section, tile } from "./parts.js";
import { publishForm } from "./publish.js";
import { link } from "./router.js";
import { featureBadges } from "./view-exchanges.js";

const DEFAULT = "amq.default";

export const exchange = {
  path: "exchanges/:vhost/:name",
  id: "exchanges",
  right: "management",
  title: (names) => (names.name === DEFAULT ? "(default)" : names.name),
  open(page) {
    const { vhost, name: asked } = page.names;
    const of = { vhost, name: asked === DEFAULT ? "" : asked };
    const drop = h("button.danger", { type: "button", onclick: () => dropIt(state) }, "Delete…");
    const state = {
      page,
      ...of,
      badges: h("span.badges"),
      tiles: tilesOf(),
      traffic: rateChart("Messages a second", "exchange.rates", ["publish_in", "publish_out"]),
      facts: h("div"),
      bindings: of.name === "" ? null : bindingsOf(page, of),
      preview: previewOf({
        page,
        vhost,
        exchange: of.name,
        told: (reached) => state.bindings?.mark(reached),
      }),
    };
    const publish = publishForm({ vhost, exchange: of.name, done: page.refresh });
    state.preview.begin(publish);
    state.publishing = h(
      "div.columns",
      section("Publish", h("div.card", publish.element)),
      section("Where would it go?", state.preview.element),
    );
    page.root.append(
      h("a.back", { href: link(["exchanges"]) }, "Exchanges"),
      heading(exchangeName(of.name), state.badges, isBuiltIn(of) ? [] : drop),
      h("div.tiles", state.tiles.elements),
      h("div.bar-end", rangeChooser(page.refresh)),
      h("div.charts", state.traffic.element, h("div.card", state.facts)),
      section("What leads where", state.bindings?.picture ?? h("p.hint", DEFAULT_TEXT)),
      state.publishing,
    );
    if (state.bindings) {
      page.root.append(section("Bindings", state.bindings.lists));
    }
    return { update: () => update(state) };
  },
};

const DEFAULT_TEXT =
  "Every queue is bound to it by its own name, and nothing else can be. A message with the " +
  "routing key orders goes to the queue orders.";

async function update(state) {
  const { vhost, name: of, page } = state;
  const address = path`exchanges/${vhost}/${of || DEFAULT}`;
  const [now, bindings] = await Promise.all([
    get(query(address, wanted("msg_rates")), { signal: page.signal }),
    state.bindings?.update(),
  ]);
  replace(state.badges, [badge(now.type), badge(`vhost ${name(vhost)}`), featureBadges(now)]);
  state.publishing.hidden = now.internal;
  state.tiles.update(now, bindings);
  state.traffic.update(`exchange ${JSON.stringify([vhost, of])}`, now.message_stats);
  replace(state.facts, factsOf(now));
  if (!now.internal) {
    await state.preview.update();
  }
}

function tilesOf() {
  const [incoming, outgoing, from, to] = [
    "Published to it",
    "Into queues",
    "Bindings from here",
    "Bindings to here",
  ].map((label) => tile(label));
  const update = (now, bindings) => {
    const stats = now.message_stats ?? {};
    const total = (id) => `${compact(stats[id] ?? 0)} so far`;
    incoming.set(rate(stats.publish_in_details?.rate ?? 0), total("publish_in"));
    outgoing.set(rate(stats.publish_out_details?.rate ?? 0), total("publish_out"));
    from.set(bindings ? count(bindings.from) : "all queues");
    to.set(count(bindings?.to ?? 0));
  };
  return { elements: [incoming, outgoing, from, to].map(({ element }) => element), update };
}

function factsOf(now) {
  const { "alternate-exchange": alternate, ...rest } = now.arguments;
  const pairs = [
    ["Type", [h("strong", now.type), h("p.hint", TYPES[now.type] ?? "")]],
    ["Durable", now.durable ? "yes" : "no: it is gone when the broker stops"],
    ["Internal", now.internal && "yes: nobody publishes to it"],
    ["Policy", now.policy && name(now.policy)],
    [
      "What nothing takes goes to",
      typeof alternate === "string" && exchangeLink(now.vhost, alternate),
    ],
    ...Object.entries(rest).map(([key, told]) => [key, value(told)]),
  ];
  return facts(pairs.filter(([, told]) => told !== undefined && told !== false));
}

async function dropIt({ vhost, name: of, page }) {
  const isDone = await deleteExchanges([{ vhost, name: of }]);
  if (isDone && !page.signal.aborted) {
    location.hash = link(["exchanges"]);
  }
}
