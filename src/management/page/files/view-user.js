// Who is one user, and what may it do where?

import { get, path, remove } from "./api.js";
import { button, dropUsers, limitsText, pattern, tabs, tagsOf } from "./admin.js";
import { ask } from "./dialog.js";
import { h } from "./element.js";
import { command, name } from "./format.js";
import { badge, exchangeLink, facts, heading, plainTable, section, show } from "./parts.js";
import { link } from "./router.js";
import {
  LIMITS,
  changePassword,
  changeTags,
  setPermissions,
  setTopicPermissions,
  setUserLimits,
} from "./user-forms.js";

export const user = {
  path: "users/:name",
  id: "admin",
  right: "administrator",
  title: (names) => names.name,
  open(page) {
    const who = page.names.name;
    const state = { page, who, limits: {}, tags: [] };
    state.places = { facts: h("div"), permissions: h("div"), topics: h("div") };
    const changed = page.refresh;
    const gone = () => {
      location.hash = link(["users"]);
    };
    page.root.append(
      tabs("users"),
      h("a.back", { href: link(["users"]) }, "Users"),
      heading(
        name(who),
        [],
        [
          button("Tags…", () => changeTags(who, state.tags, changed)),
          button("Password…", () => changePassword(who, changed)),
          button("Limits…", () => setUserLimits(who, state.limits, changed)),
          button("Delete…", () => dropUsers([who], gone), "danger"),
        ],
      ),
      h("div.card", state.places.facts),
      section(
        "Permissions",
        state.places.permissions,
        h(
          "div.buttons.start",
          button("Set permissions…", () => setPermissions({ user: who }, changed)),
          h("a.button", { href: link(["permissions"], { user: who }) }, "May it…?"),
        ),
      ),
      section(
        "Topic permissions",
        state.places.topics,
        h(
          "div.buttons.start",
          button("Set topic permissions…", () => setTopicPermissions({ user: who }, changed)),
        ),
      ),
    );
    return { update: () => update(state) };
  },
};

const vhostLink = ({ vhost }) => h("a.name", { href: link(["vhosts", vhost]) }, name(vhost));

const BY_VHOST = {
  head: "Virtual host",
  linkOf: vhostLink,
  none: "This user may enter no virtual host: nobody can connect as it.",
};

async function update(state) {
  const { who, places, page } = state;
  const { signal } = page;
  const [now, permissions, topics] = await Promise.all([
    get(path`users/${who}`, { signal }),
    get(path`users/${who}/permissions`, { signal }),
    get(path`users/${who}/topic-permissions`, { signal }),
  ]);
  state.limits = now.limits;
  state.tags = now.tags;
  const hasPassword = now.password_hash !== "";
  show(
    places.facts,
    facts([
      ["Tags", tagsOf(now.tags)],
      ["Password", hasPassword ? "set" : badge("none: nobody logs in with a password", "warn")],
      ["Limits", limitsText(LIMITS, now.limits)],
    ]),
  );
  show(places.permissions, permissionsTable(permissions, BY_VHOST, page.refresh));
  show(places.topics, topicsTable(topics, page.refresh));
}

// Who may do what where. `head` and `linkOf` are of what the permissions are listed by.
export function permissionsTable(permissions, { head, linkOf, none }, changed) {
  const rows = permissions.map((one) => [
    linkOf(one),
    pattern(one.configure),
    pattern(one.write),
    pattern(one.read),
    h(
      "div.row-buttons",
      button("Change…", () => setPermissions(one, changed)),
      button("Clear…", () => clearPermissions(one, changed), "danger"),
    ),
  ]);
  return plainTable(
    "Permissions",
    [head, "Configure", "Write", "Read", ["", "number"]],
    rows,
    none,
  );
}

function topicsTable(topics, changed) {
  const rows = topics.map((one) => [
    vhostLink(one),
    exchangeLink(one.vhost, one.exchange),
    pattern(one.write),
    pattern(one.read),
    h(
      "div.row-buttons",
      button("Change…", () => setTopicPermissions(one, changed)),
      button("Clear…", () => clearTopic(one, changed), "danger"),
    ),
  ]);
  return plainTable(
    "Topic permissions",
    ["Virtual host", "Exchange", "Write keys", "Read keys", ["", "number"]],
    rows,
    "None: every routing key may be used.",
  );
}

// Takes permissions in a vhost back, after a question.
async function clearPermissions({ user: who, vhost }, changed) {
  const isDone = await ask({
    title: `Take ${name(vhost)} from ${name(who)}?`,
    text: h("p", `${name(who)} may not enter ${name(vhost)} any more. Its queues stay.`),
    action: "Clear permissions",
    command: command("clear_permissions", "-p", vhost, who),
    run: () => remove(path`permissions/${vhost}/${who}`),
    done: `${name(who)} may not enter ${name(vhost)} any more.`,
  });
  return isDone && changed();
}

async function clearTopic({ user: who, vhost, exchange }, changed) {
  const isDone = await ask({
    title: `Clear topic permissions for ${exchange}?`,
    text: h(
      "p",
      `Then ${name(who)} may use every routing key with ${exchange} in ${name(vhost)}, `,
      "as far as it may use the exchange.",
    ),
    action: "Clear topic permissions",
    command: command("clear_topic_permissions", "-p", vhost, who, exchange),
    run: () => remove(path`topic-permissions/${vhost}/${who}/${exchange}`),
    done: `Cleared topic permissions for ${exchange}.`,
  });
  return isDone && changed();
}
