// May a user do something, and why or why not? The broker answers by what it decides by itself.

import { get } from "./api.js";
import { tabs, vhostField } from "./admin.js";
import { fill, h } from "./element.js";
import { field, form } from "./form.js";
import { name } from "./format.js";
import { heading } from "./parts.js";
import { link, replaceParameters } from "./router.js";
import { session } from "./session.js";

const ACCESS = [
  ["write", "write (publish, bind to it)"],
  ["read", "read (consume, bind from it)"],
  ["configure", "configure (declare, delete)"],
];

export const permissions = {
  path: "permissions",
  id: "admin",
  right: "administrator",
  title: () => "Who may what?",
  open(page) {
    const { parameters } = page;
    const names = h("datalist", { id: "user-names" });
    const fields = {
      user: field({
        label: "May user",
        value: parameters.user ?? session.user,
        list: "user-names",
        required: true,
      }),
      access: field({
        label: "do what",
        type: "choice",
        options: ACCESS,
        value: parameters.access ?? "write",
      }),
      resource: field({
        label: "with the",
        type: "choice",
        options: ["queue", "exchange"],
        value: parameters.resource ?? "queue",
      }),
      name: field({ label: "of the name", value: parameters.name ?? "" }),
      vhost: vhostField(parameters.vhost, { label: "in the virtual host" }),
      routing_key: field({
        label: "with the routing key",
        value: parameters.routing_key ?? "",
        placeholder: "any",
      }),
    };
    // Only exchanges have keys.
    const showKey = () => {
      fields.routing_key.element.hidden = fields.resource.value() !== "exchange";
    };
    const answer = h("div", { role: "status", "aria-live": "polite" });
    const made = form({
      parts: [
        h(
          "div.fields.wide",
          Object.values(fields).map(({ element }) => element),
        ),
        names,
      ],
      action: "Ask the broker",
      run: () => answerTo(page, fields, answer),
    });
    fields.resource.control.addEventListener("change", showKey);
    // An answer belongs to what is asked.
    made.element.addEventListener("input", () => fill(answer));
    showKey();
    page.root.append(
      tabs("permissions"),
      heading("Who may what?"),
      h(
        "p.hint",
        "The name need not be there: the answer is about what would be allowed. ",
        "Permissions are set where a user or a virtual host is shown.",
      ),
      h("div.card", made.element),
      answer,
    );
    return { update: () => listUsers(names, page.signal) };
  },
};

async function listUsers(names, signal) {
  const users = await get("users?columns=name", { signal });
  fill(
    names,
    users.map(({ name: value }) => h("option", { value })),
  );
}

async function answerTo({ signal }, fields, place) {
  const asked = Object.fromEntries(Object.entries(fields).map(([id, one]) => [id, one.value()]));
  const { routing_key: key, ...rest } = asked;
  const hasKey = asked.resource === "exchange" && key !== "";
  const parameters = { ...rest, ...(hasKey ? { routing_key: key } : {}) };
  replaceParameters(parameters);
  fill(place);
  // An empty name is one, too: that of the default exchange.
  const search = new URLSearchParams(parameters);
  const answer = await get(`permissions/check?${search}`, { signal });
  fill(place, shown(asked, hasKey, answer));
}

function shown(asked, hasKey, answer) {
  const isTopic = answer.decided_by === "topic_permission";
  const word = answer.allowed ? "Yes" : "No";
  return h(
    `div.verdict.${answer.allowed ? "good" : "bad"}`,
    h("strong.verdict-word", word),
    h(
      "div.stack",
      h("p", because(asked, answer)),
      answer.defect &&
        h("p", "This pattern does not compile, so it matches nothing: ", h("code", answer.defect)),
      hasKey &&
        answer.routing_key_matters &&
        !isTopic &&
        answer.allowed &&
        h("p.hint", "No topic permission is set for this exchange: any routing key will do."),
      hasKey &&
        !answer.routing_key_matters &&
        h("p.hint", "Only topic exchanges look at who uses which routing key."),
      !answer.exists && h("p.hint", `There is no ${asked.resource} of this name at present.`),
      answer.reason && h("p.hint", "The client is told: ", h("code", answer.reason)),
      h("p", h("a", { href: link(["users", asked.user]) }, `Permissions of ${name(asked.user)}`)),
    ),
  );
}

function because({ user, access, vhost, routing_key: key }, answer) {
  if (answer.decided_by === "no_permissions") {
    return `${name(user)} has no permissions in ${name(vhost)}, and cannot even connect there.`;
  }
  const isTopic = answer.decided_by === "topic_permission";
  const whose = `of ${name(user)} in ${name(vhost)}`;
  if (answer.pattern === "") {
    return answer.allowed
      ? `The ${access} pattern ${whose} is empty, and matches the empty name.`
      : `The ${access} pattern ${whose} is empty, and matches nothing.`;
  }
  const subject = isTopic ? `the routing key ${JSON.stringify(key)}` : name(answer.name);
  const what = isTopic ? `pattern for keys to ${access} with` : `${access} pattern`;
  const how = answer.allowed ? "matches" : "does not match";
  return [
    `The ${what} `,
    h("code", answer.pattern),
    ` ${whose} ${how} `,
    h("strong", subject),
    ".",
  ];
}
