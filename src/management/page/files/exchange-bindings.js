// What leads to an exchange and what does it lead to? Drawn, listed, and changed by hand.

import { get, getPage, path, post, query, remove } from "./api.js";
import { ask, commandLine } from "./dialog.js";
import { fill, h } from "./element.js";
import { field, form, pairs } from "./form.js";
import { command, exchangeName, name, plural } from "./format.js";
import { graph } from "./graph.js";
import { notify } from "./notice.js";
import { exchangeLink, queueLink } from "./parts.js";
import { link } from "./router.js";
import { table } from "./table.js";

// So many of each side are drawn; the lists have all of them.
const DRAWN_MAX = 12;

const hasArguments = ({ arguments: of }) => Object.keys(of ?? {}).length > 0;

// What a binding takes, in a few letters.
const labelOf = (one) =>
  one.routing_key || (hasArguments(one) ? JSON.stringify(one.arguments) : "(no key)");

const ends = ({ vhost, source, destination, destination_type: type }) =>
  path`bindings/${vhost}/e/${source}/${type === "queue" ? "q" : "e"}/${destination}`;

// The bindings of an exchange: `picture` and `lists` to show, `update()`, which resolves to how
// many there are `from` and `to` it, and `mark(reached)` for what a message would reach: a set of
// "queue NAME" and "exchange NAME".
export function bindingsOf(page, { vhost, name: exchange }) {
  const state = { page, vhost, exchange, drawn: null, reached: new Set() };
  state.picture = h("div");
  state.more = h("p.hint", { hidden: true });
  const from = listOf(state, "source");
  const to = listOf(state, "destination");
  const lists = h("div.stack", h("div.card", bindForm(state)), from.element, to.element);
  const update = async () => {
    const firsts = Promise.all([firstOf(state, "source"), firstOf(state, "destination")]);
    [state.both] = await Promise.all([firsts, from.update(), to.update()]);
    draw(state);
    const [many, into] = state.both.map(({ total_count: all }) => all);
    to.element.hidden = into === 0;
    return { from: many, to: into };
  };
  const mark = (reached) => {
    state.reached = reached;
    draw(state);
  };
  return { picture: h("div.stack", state.picture, state.more), lists, update, mark };
}

function firstOf({ vhost, exchange, page }, end) {
  const of = path`exchanges/${vhost}/${exchange}/bindings`;
  const wanted = {
    page: 1,
    page_size: DRAWN_MAX,
    sort: end === "source" ? "destination" : "source",
  };
  return get(query(`${of}/${end}`, wanted), { signal: page.signal });
}

const nodeId = (kind, of) => `${kind} ${of}`;

// Draws what is there, unless that is what is drawn.
function draw(state) {
  const { vhost, exchange, both } = state;
  if (!both) {
    return;
  }
  const [from, into] = both.map(({ items }) => items);
  const text = JSON.stringify([from, into, [...state.reached]]);
  if (text === state.drawn) {
    return;
  }
  state.drawn = text;
  const left = both.reduce((sum, { total_count: all, items }) => sum + all - items.length, 0);
  state.more.hidden = left === 0;
  state.more.textContent = `${plural(left, "more binding")} in the lists below.`;
  if (from.length + into.length === 0) {
    return fill(state.picture, h("p.none.card", emptyText));
  }
  const here = {
    id: "here",
    label: exchangeName(exchange),
    kind: "exchange",
    hint: "this exchange",
  };
  const sources = unique(into.map(({ source }) => sourceNode(vhost, source)));
  const targets = unique(from.map((one) => targetNode(one, state.reached)));
  const edges = [
    ...grouped(into, ({ source }) => [nodeId("from", source), "here"]),
    ...grouped(from, (one) => ["here", nodeId(one.destination_type, one.destination)]),
  ].map((edge) => ({
    ...edge,
    isMarked: targets.some(({ id, isMarked }) => isMarked && id === edge.to),
  }));
  const columns = [sources, [here], targets].filter((column) => column.length > 0);
  return fill(state.picture, graph({ label: "What leads where", columns, edges }));
}

const emptyText =
  "Nothing is bound: whatever is published here is lost, or returned to who asked for that. " +
  "Bind a queue under Bindings.";

const unique = (nodes) => [...new Map(nodes.map((node) => [node.id, node])).values()];

const sourceNode = (vhost, source) => ({
  id: nodeId("from", source),
  label: exchangeName(source),
  kind: "exchange",
  hint: "exchange",
  href: link(["exchanges", vhost, source]),
});

function targetNode({ vhost, destination, destination_type: type }, reached) {
  const id = nodeId(type, destination);
  const isMarked = reached.has(id);
  return {
    id,
    label: name(destination),
    kind: type,
    hint: isMarked ? `${type}, which gets the message` : type,
    href: link([type === "queue" ? "queues" : "exchanges", vhost, destination]),
    isMarked,
  };
}

// One line between two things, with all that it stands for.
function grouped(bindings, endsOf) {
  const lines = new Map();
  for (const one of bindings) {
    const [from, to] = endsOf(one);
    const key = JSON.stringify([from, to]);
    const line = lines.get(key) ?? { from, to, labels: [] };
    line.labels.push(labelOf(one));
    lines.set(key, line);
  }
  return [...lines.values()].map(({ from, to, labels }) => ({
    from,
    to,
    label: labels.join(", "),
  }));
}

function listOf(state, end) {
  const isFrom = end === "source";
  const other = isFrom
    ? { id: "to", label: "To", sort: "destination", isFixed: true, cell: targetCell }
    : {
        id: "from",
        label: "From",
        sort: "source",
        isFixed: true,
        cell: ({ vhost, source }) => exchangeLink(vhost, source),
      };
  return table({
    name: `exchange.bindings.${end}`,
    label: isFrom ? "Bindings from here" : "Bindings to here",
    noun: "binding",
    controls: h("h3", isFrom ? "It leads to" : "Leads here"),
    sort: isFrom ? "destination" : "source",
    hasFilter: false,
    columns: [
      other,
      {
        id: "key",
        label: "Routing key",
        sort: "routing_key",
        isFixed: true,
        cell: ({ routing_key: key }) => (key ? h("code", key) : h("span.faint", "–")),
      },
      {
        id: "arguments",
        label: "Arguments",
        isWide: true,
        isFixed: true,
        cell: (one) => (hasArguments(one) ? h("code", JSON.stringify(one.arguments)) : ""),
      },
      {
        id: "remove",
        label: h("span.unseen", "Remove"),
        isFixed: true,
        isNumber: true,
        cell: (one) => removeButton(one, state.page),
      },
    ],
    keyOf: (one) => JSON.stringify([ends(one), one.properties_key]),
    load: (wanted) => {
      const of = path`exchanges/${state.vhost}/${state.exchange}/bindings`;
      return getPage(`${of}/${end}`, wanted, state.page.signal);
    },
    empty: isFrom ? "Nothing is bound to it." : "No exchange leads here.",
  });
}

const targetCell = ({ vhost, destination, destination_type: type }) =>
  type === "queue"
    ? queueLink(vhost, destination)
    : [exchangeLink(vhost, destination), h("span.of-vhost", "exchange")];

const removeButton = (one, page) =>
  h(
    "button.quiet",
    {
      type: "button",
      "aria-label": `Remove the binding ${labelOf(one)} to ${one.destination}`,
      onclick: () => unbind(one, page),
    },
    h("span.wide-only", "Remove…"),
    h("span.narrow-only", "×"),
  );

async function unbind(one, page) {
  const { vhost, source, destination, destination_type: type, properties_key: key } = one;
  const words = Object.entries({
    source,
    destination,
    destination_type: type,
    properties_key: key,
  });
  const isDone = await ask({
    title: `Remove the binding to ${name(destination)}?`,
    text: h(
      "p",
      "Messages with ",
      h("code", labelOf(one)),
      ` go no more from ${exchangeName(source)} to the ${type} ${name(destination)}, `,
      "unless by another binding. What is there stays.",
    ),
    action: "Remove binding",
    command: command("delete", "binding", ...words.map(([of, to]) => `${of}=${to}`), "-p", vhost),
    run: () => remove(`${ends(one)}/${path`${key}`}`),
    done: "Removed the binding.",
  });
  return isDone && page.refresh();
}

const WAYS = [
  ["queue", "to the queue"],
  ["exchange", "to the exchange"],
  ["source", "from the exchange"],
];

// Binds something to the exchange, or the exchange to another one.
function bindForm({ page, vhost, exchange }) {
  const way = field({ label: "Bind", type: "choice", options: WAYS, value: "queue" });
  const other = field({ label: "Name", required: true, spellcheck: "false" });
  const key = field({ label: "Routing key", spellcheck: "false" });
  const more = pairs({ label: "Arguments", suggestions: ["x-match"] });
  const line = h("div");
  const binding = () => ({
    vhost,
    source: way.value() === "source" ? other.value() : exchange,
    destination: way.value() === "source" ? exchange : other.value(),
    destination_type: way.value() === "queue" ? "queue" : "exchange",
  });
  const made = form({
    parts: [
      h("div.fields", way.element, other.element, key.element),
      h("details.more", h("summary", "Arguments"), more.element),
      line,
    ],
    action: "Bind",
    run: async () => {
      const of = binding();
      await post(ends(of), { routing_key: key.value(), arguments: more.value() });
      notify(`Bound ${exchangeName(of.source)} to ${name(of.destination)}.`);
      await page.refresh();
    },
  });
  made.element.addEventListener("input", () =>
    fill(line, other.value() !== "" && lineOf(binding(), key.value(), more)),
  );
  return made.element;
}

function lineOf({ vhost, ...binding }, key, more) {
  try {
    const words = { ...binding, routing_key: key };
    const of = more.value();
    if (Object.keys(of).length > 0) {
      words.arguments = JSON.stringify(of);
    }
    const pairsOf = Object.entries(words).map(([name_, to]) => `${name_}=${to}`);
    return commandLine(command("declare", "binding", ...pairsOf, "-p", vhost));
  } catch {
    // What was typed is not complete; the form says so when it is sent.
    return null;
  }
}
