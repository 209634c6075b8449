// Which policies are there, what do they say, and what would another one match?

import { get, path, remove } from "./api.js";
import { button, each, listed, tabs } from "./admin.js";
import { ask } from "./dialog.js";
import { h } from "./element.js";
import { command, count, name, plural, value } from "./format.js";
import { badge, heading, vhostOf } from "./parts.js";
import { editPolicy } from "./policy-form.js";
import { may, session } from "./session.js";
import { pageOf, table } from "./table.js";

const APPLIES = { all: "queues and exchanges", classic_queues: "classic queues" };

const pathOf = ({ isOperator, vhost, name: of }) =>
  isOperator ? path`operator-policies/${vhost}/${of}` : path`policies/${vhost}/${of}`;

const keyOf = ({ isOperator, vhost, name: of }) => JSON.stringify([isOperator, vhost, of]);

const mayChange = ({ isOperator }) => may(isOperator ? "administrator" : "policymaker");

const columns = (edit) => [
  {
    id: "name",
    label: "Name",
    sort: "name",
    isFixed: true,
    cell: (policy) => [
      mayChange(policy)
        ? button(name(policy.name), () => edit(policy), "link")
        : h("strong", name(policy.name)),
      vhostOf(policy.vhost),
    ],
  },
  {
    id: "kind",
    label: "Kind",
    sort: "isOperator",
    cell: ({ isOperator }) =>
      isOperator ? badge("operator", "warn", "Users cannot go beyond it") : badge("policy"),
  },
  { id: "pattern", label: "Pattern", sort: "pattern", cell: (policy) => h("code", policy.pattern) },
  {
    id: "apply",
    label: "Applies to",
    isWide: true,
    cell: (policy) => APPLIES[policy["apply-to"]] ?? policy["apply-to"].replace("_", " "),
  },
  {
    id: "definition",
    label: "Says",
    isWide: true,
    cell: ({ definition }) =>
      h(
        "span.badges",
        Object.entries(definition).map(([key, of]) => badge(`${key}: ${value(of)}`, "policy")),
      ),
  },
  {
    id: "priority",
    label: "Priority",
    sort: "priority",
    isNumber: true,
    cell: ({ priority }) => count(priority),
  },
];

export const policies = {
  path: "policies",
  id: "admin",
  right: "management",
  title: () => "Policies",
  open(page) {
    // What is shown may be old by now: what is changed is asked for.
    const edit = async (policy) => {
      const now = await get(pathOf(policy));
      return editPolicy({ ...now, isOperator: policy.isOperator }, page.refresh);
    };
    const list = table({
      name: "policies",
      label: "Policies",
      noun: "policy",
      nouns: "policies",
      columns: columns(edit),
      sort: "priority",
      reverse: true,
      keyOf,
      nameOf: (key) => JSON.parse(key)[2],
      load: (wanted) => load(wanted, page.signal),
      empty: "There is no policy. A policy says for many queues at once what they are to be like.",
      actions: may("policymaker") && [
        { label: "Delete…", isDangerous: true, run: (rows) => drop(rows, list, page) },
      ],
    });
    const create =
      may("policymaker") && button("New policy…", () => editPolicy(null, page.refresh));
    page.root.append(tabs("policies"), heading("Policies", [], create || []), list.element);
    return { update: list.update };
  },
};

async function load(wanted, signal) {
  const ofVhost = (kind) => (session.vhost === "" ? kind : `${kind}/${path`${session.vhost}`}`);
  const [mine, theirs] = await Promise.all([
    get(ofVhost("policies"), { signal }),
    get(ofVhost("operator-policies"), { signal }),
  ]);
  const rows = [
    ...mine.map((one) => ({ ...one, isOperator: false })),
    ...theirs.map((one) => ({ ...one, isOperator: true })),
  ];
  return pageOf(rows, wanted, ({ name: of, pattern }) => [of, pattern]);
}

async function drop(rows, list, page) {
  const refused = rows.filter((row) => !mayChange(row));
  const going = rows.filter(mayChange);
  const isDone = await ask({
    title: going.length === 1 ? `Delete ${name(going[0].name)}?` : `Delete ${many(going)}?`,
    text: [
      h("p", "Queues and exchanges that they match follow the next ones that match, or none."),
      listed(going.map(({ name: of, vhost, pattern }) => `${of} (${pattern}) in ${vhost}`)),
      refused.length > 0 &&
        h("p.warn-text", `Operator policies stay: ${count(refused.length)} of what is marked.`),
    ],
    action: going.length === 1 ? "Delete policy" : `Delete ${many(going)}`,
    command: going
      .map(({ isOperator, vhost, name: of }) =>
        command(isOperator ? "clear_operator_policy" : "clear_policy", "-p", vhost, of),
      )
      .join("\n"),
    run: async () => {
      await each(going, (row) => remove(pathOf(row)));
      list.unmark();
    },
    done: `Deleted ${many(going)}.`,
  });
  return isDone && page.refresh();
}

const many = (rows) => plural(rows.length, "policy", "policies");
