// What is asked about a user: password, tags, permissions and topic permissions?

import { get, path, put } from "./api.js";
import { change, limitFields, vhostField } from "./admin.js";
import { h } from "./element.js";
import { field } from "./form.js";
import { command, exchangeName, name } from "./format.js";

const TAGS = [
  ["administrator", "Everything: users, virtual hosts, permissions, the node."],
  ["monitoring", "Sees all connections and the node, changes nothing there."],
  ["policymaker", "Sets policies and parameters in its virtual hosts."],
  ["management", "Sees its virtual hosts on this page."],
  ["impersonator", "May publish in the name of other users."],
];

// A password, or none; `body()` is what the API wants.
export function passwordField() {
  const none = field({
    label: "No password",
    hint: "Nobody logs in with a password.",
    type: "flag",
  });
  const password = field({
    label: "Password",
    type: "password",
    autocomplete: "new-password",
  });
  none.control.addEventListener("change", () => {
    password.control.disabled = none.value();
  });
  const body = () => {
    if (none.value()) {
      return { password_hash: "" };
    }
    if (password.value() === "") {
      throw new Error("Give a password, or say that there is none.");
    }
    return { password: password.value() };
  };
  return { element: [password.element, none.element], isNone: none.value, body };
}

// The tags that mean something, and a line for others.
export function tagFields(tags) {
  const known = TAGS.map(([tag, hint]) => [
    tag,
    field({ label: tag, hint, type: "flag", value: tags.includes(tag) }),
  ]);
  const others = tags.filter((tag) => !known.some(([of]) => of === tag)).join(", ");
  const more = field({ label: "Other tags", hint: "With commas between them.", value: others });
  const element = h(
    "fieldset.choices",
    h("legend", "Tags"),
    known.map(([, one]) => one.element),
    more.element,
  );
  const value = () => {
    const marked = known.filter(([, one]) => one.value()).map(([tag]) => tag);
    const typed = more.value().split(",");
    return [...marked, ...typed.map((tag) => tag.trim()).filter((tag) => tag !== "")];
  };
  return { element, value };
}

// What is known of a user and has to be said again when something of it changes.
async function kept(user) {
  const {
    password_hash: hash,
    hashing_algorithm: algorithm,
    tags,
  } = await get(path`users/${user}`);
  return { password_hash: hash, hashing_algorithm: algorithm, tags };
}

// Asks for other tags.
export function changeTags(user, tags, changed) {
  const fields = tagFields(tags);
  return change({
    title: `Tags of ${name(user)}`,
    parts: [],
    more: fields.element,
    action: "Set tags",
    command: () => command("set_user_tags", user, ...fields.value()),
    run: async () => put(path`users/${user}`, { ...(await kept(user)), tags: fields.value() }),
    done: () => `Set the tags of ${name(user)}.`,
    changed,
  });
}

// Asks for another password.
export function changePassword(user, changed) {
  const password = passwordField();
  return change({
    title: `Password of ${name(user)}`,
    parts: password.element,
    action: "Set password",
    command: () =>
      password.isNone() ? command("clear_password", user) : command("change_password", user),
    run: async () => {
      const body = password.body();
      await put(path`users/${user}`, { ...body, tags: (await kept(user)).tags });
    },
    done: () => `Set the password of ${name(user)}.`,
    changed,
  });
}

// Three patterns for what somebody may do.
function patternFields(kinds, of) {
  const hints = {
    configure: "Names that may be declared and deleted.",
    write: "Names that may be published to.",
    read: "Names that may be consumed from.",
  };
  const fields = kinds.map((kind) => [
    kind,
    field({
      label: kind[0].toUpperCase() + kind.slice(1),
      hint: kinds.includes("configure") ? hints[kind] : "A pattern for routing keys.",
      value: of?.[kind] ?? ".*",
      spellcheck: "false",
      class: "pattern",
    }),
  ]);
  const value = () => Object.fromEntries(fields.map(([kind, one]) => [kind, one.value()]));
  return { elements: fields.map(([, one]) => one.element), value };
}

// Asks for permissions of a user in a vhost; `of` has those that there are, or only one of both.
export function setPermissions({ user, vhost, users, ...of }, changed) {
  const who =
    user === undefined &&
    field({ label: "User", type: "choice", options: users.map((one) => [one, name(one)]) });
  const where = vhost === undefined && vhostField();
  const patterns = patternFields(["configure", "write", "read"], of);
  const target = () => ({
    user: who ? who.value() : user,
    vhost: where ? where.value() : vhost,
  });
  return change({
    title: "Permissions",
    parts: [
      who ? who.element : fixed("User", name(user)),
      where ? where.element : fixed("Virtual host", name(vhost)),
      patterns.elements,
    ],
    more: h(
      "p.hint",
      "Regular expressions, found anywhere in a name: ",
      h("code", "^orders\\."),
      " is what begins so, ",
      h("code", ".*"),
      " everything, and an empty one nothing.",
    ),
    action: "Set permissions",
    command: () => {
      const { configure, write, read } = patterns.value();
      const to = target();
      return command("set_permissions", "-p", to.vhost, to.user, configure, write, read);
    },
    run: () => put(path`permissions/${target().vhost}/${target().user}`, patterns.value()),
    done: () => `Set permissions of ${name(target().user)} in ${name(target().vhost)}.`,
    changed,
  });
}

// A field that says what is not asked.
function fixed(label, text) {
  return h("div.field", h("span.label", label), h("strong.fixed", text));
}

// Asks for the routing keys that a user may use with an exchange.
export function setTopicPermissions({ user, vhost, exchange, ...of }, changed) {
  const where = vhost === undefined ? vhostField() : null;
  const which = field({ label: "Topic exchange", value: exchange ?? "amq.topic", required: true });
  const patterns = patternFields(["write", "read"], of);
  const inVhost = () => where?.value() ?? vhost;
  return change({
    title: `Topic permissions of ${name(user)}`,
    parts: [
      where ? where.element : fixed("Virtual host", name(vhost)),
      which.element,
      patterns.elements,
    ],
    more: h(
      "p.hint",
      "Patterns for routing keys, beside the permissions for the exchange itself; ",
      h("code", "{username}"),
      " and ",
      h("code", "{vhost}"),
      " are filled in.",
    ),
    action: "Set topic permissions",
    command: () => {
      const { write, read } = patterns.value();
      return command("set_topic_permissions", "-p", inVhost(), user, which.value(), write, read);
    },
    run: () =>
      put(path`topic-permissions/${inVhost()}/${user}`, {
        exchange: which.value(),
        ...patterns.value(),
      }),
    done: () => `Set topic permissions for ${exchangeName(which.value())}.`,
    changed,
  });
}

// What a user may have limits on.
export const LIMITS = { "max-connections": "Connections", "max-channels": "Channels" };

// Asks for the limits of a user.
export function setUserLimits(user, limits, changed) {
  const fields = limitFields(LIMITS, limits);
  return change({
    title: `Limits of ${name(user)}`,
    parts: fields.elements,
    action: "Set limits",
    command: () => command("set_user_limits", user, JSON.stringify(fields.command())),
    run: () => fields.put((id) => path`user-limits/${user}/${id}`),
    done: () => `Set the limits of ${name(user)}.`,
    changed,
  });
}
