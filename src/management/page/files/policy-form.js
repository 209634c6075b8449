// How is a policy written, and what would it match?

import { path, post, put } from "./api.js";
import { change, vhostField } from "./admin.js";
import { fill, h } from "./element.js";
import { field, pairs } from "./form.js";
import { command, count, name, plural } from "./format.js";
import { may } from "./session.js";

const KEYS = [
  "alternate-exchange",
  "consumer-timeout",
  "dead-letter-exchange",
  "dead-letter-routing-key",
  "dead-letter-strategy",
  "delivery-limit",
  "expires",
  "max-age",
  "max-length",
  "max-length-bytes",
  "message-ttl",
  "overflow",
];

// Of an operator policy, which only limits.
const OPERATOR_KEYS = [
  "consumer-timeout",
  "delivery-limit",
  "expires",
  "max-length",
  "max-length-bytes",
  "message-ttl",
];

const APPLY_TO = [
  ["all", "queues and exchanges"],
  ["queues", "queues"],
  ["exchanges", "exchanges"],
  ["classic_queues", "classic queues"],
  ["quorum_queues", "quorum queues"],
  ["streams", "streams"],
];

const TYPING_MS = 300;

// Asks for a policy: another one, or what one that there is should say.
export function editPolicy(now, changed) {
  const fields = fieldsOf(now);
  const definition = pairs({
    label: "Definition",
    suggestions: now?.isOperator ? OPERATOR_KEYS : KEYS,
  });
  Object.entries(now?.definition ?? { "": "" }).forEach(([key, of]) =>
    definition.add(key, ...typed(of)),
  );
  const preview = previewOf(fields);
  const body = () => ({
    pattern: fields.pattern.value(),
    "apply-to": fields.applyTo.value(),
    priority: Number(fields.priority.value()),
    definition: definition.value(),
  });
  const isOperator = () => fields.kind.value() === "operator";
  const shown = change({
    title: now ? `Change ${name(now.name)}` : "New policy",
    parts: [Object.values(fields).map(({ element }) => element), definition.element],
    more: preview.element,
    action: now ? "Change policy" : "Set policy",
    command: () => {
      const { pattern, definition: says, priority, "apply-to": applyTo } = body();
      return command(
        isOperator() ? "set_operator_policy" : "set_policy",
        "-p",
        fields.vhost.value(),
        "--priority",
        priority,
        "--apply-to",
        applyTo,
        fields.name.value(),
        pattern,
        JSON.stringify(says),
      );
    },
    run: () => {
      const [vhost, of] = [fields.vhost.value(), fields.name.value()];
      return put(
        isOperator() ? path`operator-policies/${vhost}/${of}` : path`policies/${vhost}/${of}`,
        body(),
      );
    },
    done: () => `Set ${name(fields.name.value())}.`,
    changed,
  });
  preview.update();
  return shown.finally(preview.stop);
}

function fieldsOf(now) {
  // What names a policy does not change; another name is another policy.
  const isFixed = now !== null;
  const kinds = [
    ["policy", "policy"],
    may("administrator") && ["operator", "operator policy"],
  ].filter(Boolean);
  return {
    vhost: vhostField(now?.vhost, { disabled: isFixed }),
    name: field({ label: "Name", required: true, value: now?.name ?? "", disabled: isFixed }),
    kind: field({
      label: "Kind",
      type: "choice",
      options: kinds,
      value: now?.isOperator ? "operator" : "policy",
      disabled: isFixed,
    }),
    pattern: field({
      label: "Pattern",
      value: now?.pattern ?? "",
      placeholder: "^orders\\.",
      required: true,
      spellcheck: "false",
      class: "pattern",
    }),
    applyTo: field({
      label: "Applies to",
      type: "choice",
      options: APPLY_TO,
      value: now?.["apply-to"] ?? "all",
    }),
    priority: field({ label: "Priority", type: "number", value: now?.priority ?? 0 }),
  };
}

// A value as the table of pairs takes it: text and type.
function typed(value) {
  switch (typeof value) {
    case "number":
      return [String(value), "number"];
    case "boolean":
      return [String(value), "flag"];
    case "string":
      return [value, "text"];
    default:
      return [JSON.stringify(value), "json"];
  }
}

// What a policy like this would match, asked of the broker while it is written.
function previewOf(fields) {
  const place = h("div.preview", { role: "status", "aria-label": "What it matches" });
  let typing;
  let asked = 0;
  const update = async () => {
    asked += 1;
    const number = asked;
    if (fields.pattern.value() === "") {
      fill(place, h("p.hint", "Write a pattern to see what it matches."));
      return;
    }
    let shown;
    try {
      shown = matched(
        await post(path`policy-preview/${fields.vhost.value()}`, {
          pattern: fields.pattern.value(),
          "apply-to": fields.applyTo.value(),
          name: fields.name.value(),
          priority: Number(fields.priority.value()),
          operator: fields.kind.value() === "operator",
          count: 8,
        }),
      );
    } catch (error) {
      shown = h("p.problem", (error.reason ?? error.message).replace(/^Validation failed\s+/, ""));
    }
    // What comes late, after another question, is not shown.
    if (number === asked) {
      fill(place, shown);
    }
  };
  const later = () => {
    clearTimeout(typing);
    typing = setTimeout(update, TYPING_MS);
  };
  Object.values(fields).forEach(({ control }) => {
    control.addEventListener("input", later);
    control.addEventListener("change", later);
  });
  return { element: place, update, stop: () => clearTimeout(typing) };
}

function matched({ queues, exchanges }) {
  if (queues.count + exchanges.count === 0) {
    return h("p", h("strong", "Matches nothing"), " that is there now.");
  }
  const overruled = queues.overruled + exchanges.overruled;
  return [
    h(
      "p",
      "Matches ",
      h("strong", plural(queues.count, "queue")),
      " and ",
      h("strong", plural(exchanges.count, "exchange")),
      overruled > 0 && `; ${count(overruled)} of them follow another policy of higher precedence`,
      ".",
    ),
    names("Queues", queues),
    names("Exchanges", exchanges),
  ];
}

function names(label, { count: all, items }) {
  const more = all - items.length;
  return (
    items.length > 0 &&
    h(
      "ul.matched",
      { "aria-label": label },
      items.map(({ name: of, overruled_by: other }) =>
        h("li", h("code", name(of)), other && h("span.hint", ` follows ${name(other)}`)),
      ),
      more > 0 && h("li.hint", `and ${count(more)} more`),
    )
  );
}
