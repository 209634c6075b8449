// What do the views for administrators have in common: their tabs, and forms that change something?

import { post, put, remove } from "./api.js";
import { ask, commandLine, present } from "./dialog.js";
import { fill, h } from "./element.js";
import { field, form } from "./form.js";
import { command, count, name } from "./format.js";
import { notify } from "./notice.js";
import { badge } from "./parts.js";
import { link } from "./router.js";
import { may, session } from "./session.js";

const TABS = [
  { id: "vhosts", label: "Virtual hosts", path: ["vhosts"], right: "management" },
  { id: "users", label: "Users", path: ["users"], right: "administrator" },
  { id: "permissions", label: "Who may what?", path: ["permissions"], right: "administrator" },
  { id: "policies", label: "Policies", path: ["policies"], right: "management" },
  { id: "parameters", label: "Parameters", path: ["parameters"], right: "policymaker" },
  { id: "definitions", label: "Definitions", path: ["definitions"], right: "administrator" },
  { id: "node", label: "Node", path: ["nodes"], right: "monitoring" },
];

// The tabs of these views; those that the user's tags open.
export function tabs(current) {
  const shown = TABS.filter(({ right }) => may(right));
  const links = shown.map(({ id, label, path }) =>
    h("a", { href: link(path), "aria-current": id === current && "page" }, label),
  );
  const element = h("nav.tabs", { "aria-label": "Administration" }, links);
  // Where the screen is narrow they do not fit, and the one that is shown may be beyond the edge.
  requestAnimationFrame(() => {
    const at = links.find((one) => one.hasAttribute("aria-current"));
    element.scrollLeft = Math.max(0, (at?.offsetLeft ?? 0) - element.clientWidth / 3);
  });
  return element;
}

// A dialog with a form that changes something. parts: fields; command(): the line of leveretctl
// that does the same, or null while the form is not complete; run(): does it; done(): what is said
// then. Resolves once it is closed; `changed` is called after a change.
export function change({ title, parts, more, action, command: lineOf, run, done, changed }) {
  return present(title, (close) => {
    const line = h("div");
    const made = form({
      parts: [h("div.fields", parts), more, line],
      action,
      run: async () => {
        await run();
        close();
        notify(done());
        changed?.();
      },
    });
    const draw = () => fill(line, lineFor(lineOf));
    made.element.addEventListener("input", draw);
    made.element.addEventListener("change", draw);
    draw();
    return made.element;
  });
}

function lineFor(lineOf) {
  try {
    const text = lineOf();
    return text && commandLine(text);
  } catch {
    // What was typed is not complete; the form says so when it is sent.
    return null;
  }
}

// A field to choose a vhost with.
export function vhostField(value, attributes = {}) {
  return field({
    label: "Virtual host",
    type: "choice",
    options: session.vhosts.map((one) => [one, name(one)]),
    value: value ?? (session.vhost || session.vhosts[0]),
    ...attributes,
  });
}

// A button of a view.
export function button(label, onclick, kind = "") {
  return h(`button${kind && `.${kind}`}`, { type: "button", onclick }, label);
}

// One after the other; one that is gone needs nothing more.
export async function each(rows, act) {
  for (const row of rows) {
    await act(row).catch((error) => {
      if (error.status !== 404) {
        throw error;
      }
    });
  }
}

// The names of what goes, of long lists the first.
export function listed(texts) {
  const more = texts.length - 10;
  return h(
    "ul.listed",
    texts.slice(0, 10).map((text) => h("li", text)),
    more > 0 && h("li", `and ${more} more`),
  );
}

// Limits as they are shown and set: { "max-queues": 5 }; without a number there is none.
export function limitFields(labels, limits) {
  const fields = Object.entries(labels).map(([id, label]) => {
    const value = limits[id] ?? "";
    const one = field({ label, type: "number", min: 0, placeholder: "no limit", value });
    return [id, one];
  });
  // For leveretctl a negative number is no limit.
  const line = () =>
    Object.fromEntries(
      fields.map(([id, one]) => [id, one.value() === "" ? -1 : Number(one.value())]),
    );
  const set = async (pathOf) => {
    for (const [id, one] of fields) {
      if (one.value() !== "") {
        await put(pathOf(id), { value: Number(one.value()) });
      } else if (limits[id] !== undefined) {
        await remove(pathOf(id));
      }
    }
  };
  return { elements: fields.map(([, one]) => one.element), command: line, put: set };
}

// Limits as text.
export function limitsText(labels, limits) {
  const given = Object.entries(labels).filter(([id]) => limits[id] !== undefined);
  return given.length === 0
    ? h("span.faint", "none")
    : given.map(([id, label]) => `${count(limits[id])} ${label.toLowerCase()}`).join(", ");
}

// A pattern as text; the empty one says that it is.
export function pattern(text) {
  return text === ""
    ? h("span.faint", { title: "It matches no name but the empty one" }, "nothing")
    : h("code", text);
}

// The tags of a user.
export function tagsOf(tags) {
  const kinds = { administrator: "warn", monitoring: "policy", policymaker: "policy" };
  return h(
    "span.badges",
    tags.length === 0
      ? h("span.faint", "none")
      : tags.map((tag) => badge(tag, kinds[tag] ?? "plain")),
  );
}

// Deletes users, after a question.
export async function dropUsers(names, changed) {
  const [first] = names;
  const one = names.length === 1;
  const what = one ? `the user ${name(first)}` : `${names.length} users`;
  const isDone = await ask({
    title: one ? `Delete ${name(first)}?` : `Delete ${what}?`,
    text: [
      h(
        "p",
        "Their permissions and limits go with them, and their connections are closed. ",
        "Queues and messages stay.",
      ),
      names.includes(session.user) &&
        h("p.warn-text", "You are logged in as one of them: you will be logged out."),
      !one && listed(names.map(name)),
    ],
    action: one ? "Delete user" : `Delete ${what}`,
    typed: names.includes(session.user) ? session.user : undefined,
    command: names.map((user) => command("delete_user", user)).join("\n"),
    run: () => post("users/bulk-delete", { users: names }),
    done: one ? `Deleted ${name(first)}.` : `Deleted ${what}.`,
  });
  return isDone && changed();
}
