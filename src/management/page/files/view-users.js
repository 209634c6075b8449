// Who may log in, with which tags, and where may they go?

import { get, path, put } from "./api.js";
import { button, change, dropUsers, limitsText, tabs, tagsOf } from "./admin.js";
import { h } from "./element.js";
import { field } from "./form.js";
import { command, name } from "./format.js";
import { badge, heading } from "./parts.js";
import { link } from "./router.js";
import { pageOf, table } from "./table.js";
import { LIMITS, passwordField, tagFields } from "./user-forms.js";

const COLUMNS = [
  {
    id: "name",
    label: "Name",
    sort: "name",
    isFixed: true,
    cell: ({ name: user }) => h("a.name", { href: link(["users", user]) }, name(user)),
  },
  { id: "tags", label: "Tags", cell: ({ tags }) => tagsOf(tags) },
  {
    id: "vhosts",
    label: "May enter",
    isWide: true,
    cell: ({ vhosts }) =>
      vhosts.length === 0
        ? badge("no virtual host", "warn", "Nobody can connect as this user")
        : h(
            "span.badges",
            vhosts.slice(0, 5).map((one) => badge(name(one))),
            vhosts.length > 5 && h("span.faint", `and ${vhosts.length - 5} more`),
          ),
  },
  {
    id: "password",
    label: "Password",
    isWide: true,
    cell: ({ password_hash: hash }) =>
      hash === "" ? badge("none", "plain", "Nobody logs in with a password") : "set",
  },
  {
    id: "limits",
    label: "Limits",
    isWide: true,
    cell: ({ limits }) => limitsText(LIMITS, limits),
  },
];

export const users = {
  path: "users",
  id: "admin",
  right: "administrator",
  title: () => "Users",
  open(page) {
    const list = table({
      name: "users",
      label: "Users",
      noun: "user",
      columns: COLUMNS,
      sort: "name",
      keyOf: ({ name: user }) => user,
      load: (wanted) => load(wanted, page.signal),
      empty: "There is no user, and nobody can log in.",
      actions: [
        {
          label: "Delete…",
          isDangerous: true,
          run: (rows) =>
            dropUsers(
              rows.map(({ name: user }) => user),
              () => {
                list.unmark();
                page.refresh();
              },
            ),
        },
      ],
    });
    const create = button("New user…", () => createUser(page.refresh));
    page.root.append(tabs("users"), heading("Users", [], create), list.element);
    return { update: list.update };
  },
};

async function load(wanted, signal) {
  const [all, permissions] = await Promise.all([
    get("users", { signal }),
    get("permissions", { signal }),
  ]);
  const vhosts = new Map(all.map(({ name: user }) => [user, []]));
  permissions.forEach(({ user, vhost }) => vhosts.get(user)?.push(vhost));
  const rows = all.map((user) => ({ ...user, vhosts: vhosts.get(user.name) }));
  return pageOf(rows, wanted, ({ name: user, tags }) => [user, ...tags]);
}

// Without a password on the line leveretctl asks for it, so that no history of a shell has it.
const addUser = (user, password) =>
  password.isNone() ? command("add_user", user, "") : command("add_user", user);

function createUser(changed) {
  const user = field({ label: "Name", required: true, spellcheck: "false" });
  const password = passwordField();
  const tags = tagFields([]);
  return change({
    title: "New user",
    parts: [user.element, password.element],
    more: tags.element,
    action: "Create user",
    command: () =>
      [
        addUser(user.value(), password),
        tags.value().length > 0 && command("set_user_tags", user.value(), ...tags.value()),
      ]
        .filter(Boolean)
        .join("\n"),
    run: async () => {
      const there = await get("users?columns=name");
      if (there.some(({ name: one }) => one === user.value())) {
        throw new Error(`There is a user ${user.value()} already.`);
      }
      await put(path`users/${user.value()}`, { ...password.body(), tags: tags.value() });
    },
    done: () => `Created ${user.value()}. Permissions are next.`,
    changed: () => {
      changed();
      location.hash = link(["users", user.value()]);
    },
  });
}
