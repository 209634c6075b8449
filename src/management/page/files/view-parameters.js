// Which parameters are kept, of virtual hosts and of the node?

import { get, path, put, remove } from "./api.js";
import { button, change, each, listed, tabs, vhostField } from "./admin.js";
import { ask } from "./dialog.js";
import { h } from "./element.js";
import { field } from "./form.js";
import { command, name, plural } from "./format.js";
import { badge, heading } from "./parts.js";
import { session } from "./session.js";
import { pageOf, table } from "./table.js";

const COMPONENTS = ["shovel", "federation-upstream", "federation-upstream-set"];

const GLOBAL = "";

const isGlobal = ({ component }) => component === GLOBAL;

const ELSEWHERE = {
  "vhost-limits": "set where the virtual host is shown",
  operator_policy: "set as a policy",
};

// Where what the API shows here, too, is set; undefined: here.
const elsewhere = (one) =>
  isGlobal(one) && one.name === "cluster_name"
    ? "set where the node is shown"
    : ELSEWHERE[one.component];

const pathOf = (one) =>
  isGlobal(one)
    ? path`global-parameters/${one.name}`
    : path`parameters/${one.component}/${one.vhost}/${one.name}`;

const columns = (edit) => [
  {
    id: "name",
    label: "Name",
    sort: "name",
    isFixed: true,
    cell: (one) =>
      elsewhere(one)
        ? h("strong", { title: elsewhere(one) }, name(one.name))
        : button(name(one.name), () => edit(one), "link"),
  },
  {
    id: "component",
    label: "Of",
    sort: "component",
    cell: (one) =>
      isGlobal(one) ? badge("the node", "policy") : badge(one.component, "plain", elsewhere(one)),
  },
  {
    id: "vhost",
    label: "Virtual host",
    sort: "vhost",
    isWide: true,
    cell: (one) => (isGlobal(one) ? h("span.faint", "–") : name(one.vhost)),
  },
  {
    id: "value",
    label: "Value",
    isWide: true,
    cell: ({ value }) => h("code.wraps", short(JSON.stringify(value))),
  },
];

const short = (text) => (text.length > 160 ? `${text.slice(0, 160)}…` : text);

export const parameters = {
  path: "parameters",
  id: "admin",
  right: "policymaker",
  title: () => "Parameters",
  open(page) {
    const edit = async (one) => {
      const { value } = await get(pathOf(one));
      return editParameter({ ...one, value }, page.refresh);
    };
    const list = table({
      name: "parameters",
      label: "Parameters",
      noun: "parameter",
      columns: columns(edit),
      sort: "name",
      keyOf: (one) => JSON.stringify([one.component, one.vhost, one.name]),
      nameOf: (key) => JSON.parse(key)[2],
      load: (wanted) => load(wanted, page.signal),
      empty: "There is no parameter.",
      actions: [{ label: "Delete…", isDangerous: true, run: (rows) => drop(rows, list, page) }],
    });
    const create = button("New parameter…", () => editParameter(null, page.refresh));
    page.root.append(tabs("parameters"), heading("Parameters", [], create), list.element);
    return { update: list.update };
  },
};

async function load(wanted, signal) {
  const [ofVhosts, ofNode] = await Promise.all([
    get("parameters", { signal }),
    get("global-parameters", { signal }),
  ]);
  const isShown = ({ vhost }) => session.vhost === "" || vhost === session.vhost;
  const rows = [
    ...ofVhosts.filter(isShown),
    ...ofNode.map((one) => ({ ...one, component: GLOBAL, vhost: "" })),
  ];
  return pageOf(rows, wanted, (one) => [one.name, one.component]);
}

function editParameter(now, changed) {
  const isFixed = now !== null;
  const component = field({
    label: "Of",
    type: "choice",
    options: [[GLOBAL, "the node (global)"], ...COMPONENTS],
    value: now?.component ?? GLOBAL,
    disabled: isFixed,
  });
  const vhost = vhostField(now?.vhost || undefined, { disabled: isFixed });
  const called = field({
    label: "Name",
    required: true,
    value: now?.name ?? "",
    disabled: isFixed,
  });
  const value = field({
    label: "Value, as JSON",
    type: "area",
    value: now ? JSON.stringify(now.value, null, 2) : "",
    required: true,
  });
  const show = () => {
    vhost.element.hidden = component.value() === GLOBAL;
  };
  component.control.addEventListener("change", show);
  show();
  const target = () => ({
    component: component.value(),
    vhost: vhost.value(),
    name: called.value(),
  });
  const parsed = () => {
    try {
      return JSON.parse(value.value());
    } catch (error) {
      throw new Error(`The value is no JSON: ${error.message}`);
    }
  };
  return change({
    title: now ? `Change ${name(now.name)}` : "New parameter",
    parts: [component.element, vhost.element, called.element],
    more: value.element,
    action: "Set parameter",
    command: () => {
      const to = target();
      const text = JSON.stringify(parsed());
      return isGlobal(to)
        ? command("set_global_parameter", to.name, text)
        : command("set_parameter", "-p", to.vhost, to.component, to.name, text);
    },
    run: () => put(pathOf(target()), { ...target(), value: parsed() }),
    done: () => `Set ${name(called.value())}.`,
    changed,
  });
}

async function drop(rows, list, page) {
  const going = rows.filter((one) => !elsewhere(one));
  const what = plural(going.length, "parameter");
  const isDone = await ask({
    title: going.length === 1 ? `Delete ${name(going[0].name)}?` : `Delete ${what}?`,
    text: [
      h("p", "Who reads them finds nothing from then on."),
      listed(going.map((one) => (isGlobal(one) ? one.name : `${one.name} in ${one.vhost}`))),
      going.length < rows.length &&
        h("p.hint", "Some of what is marked stays: it is set elsewhere."),
    ],
    action: `Delete ${what}`,
    command: going
      .map((one) =>
        isGlobal(one)
          ? command("clear_global_parameter", one.name)
          : command("clear_parameter", "-p", one.vhost, one.component, one.name),
      )
      .join("\n"),
    run: async () => {
      await each(going, (one) => remove(pathOf(one)));
      list.unmark();
    },
    done: `Deleted ${what}.`,
  });
  return isDone && page.refresh();
}
