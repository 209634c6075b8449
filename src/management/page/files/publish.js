// How is a message published by hand? A form with the body, the properties and the headers.

import { path, post } from "./api.js";
import { commandLine } from "./dialog.js";
import { fill, h } from "./element.js";
import { field, form, pairs } from "./form.js";
import { command } from "./format.js";
import { notify } from "./notice.js";

const PROPERTIES = [
  ["content_type", "Content type", { list: "content-types", placeholder: "text/plain" }],
  ["correlation_id", "Correlation id", {}],
  ["reply_to", "Reply to", {}],
  ["message_id", "Message id", {}],
  ["expiration", "Expires after", { inputmode: "numeric", placeholder: "ms" }],
  ["type", "Type", {}],
  ["app_id", "App id", {}],
  ["content_encoding", "Content encoding", {}],
  ["priority", "Priority", { type: "number", min: 0, max: 255 }],
  ["timestamp", "Timestamp", { type: "number", placeholder: "s since 1970" }],
];

const NUMBERS = new Set(["priority", "timestamp"]);

// A form that publishes to an exchange; `key` is the routing key at first, `isKeyFixed` whether it
// stays. `done` is called after each message. `message()` is what would be published; it throws
// while a header is not complete.
export function publishForm({ vhost, exchange, key = "", isKeyFixed = false, done = () => {} }) {
  const routingKey = field({ label: "Routing key", value: key, spellcheck: "false" });
  const body = field({ label: "Body", type: "area", rows: 6 });
  const encoding = field({
    label: "The body is",
    type: "choice",
    value: "string",
    options: [
      ["string", "text"],
      ["base64", "base64 of bytes"],
    ],
  });
  const properties = propertyFields();
  const line = h("div");
  const message = () => ({
    properties: properties.value(),
    routing_key: routingKey.value(),
    payload: body.value(),
    payload_encoding: encoding.value(),
  });
  const made = form({
    parts: [
      !isKeyFixed && routingKey.element,
      body.element,
      h("div.fields", encoding.element),
      properties.element,
      line,
    ],
    action: "Publish",
    run: async () => {
      const { routed } = await post(
        path`exchanges/${vhost}/${exchange || "amq.default"}/publish`,
        message(),
      );
      if (!routed) {
        throw new Error("No queue took the message: no binding fits the routing key. It is gone.");
      }
      notify("Published a message.");
      await done();
    },
  });
  const draw = () => fill(line, lineOf(vhost, exchange, message));
  made.element.addEventListener("input", draw);
  draw();
  return { element: made.element, message };
}

// Longer bodies are no use in a line.
const LINE_CHARS_MAX = 400;

function lineOf(vhost, exchange, message) {
  let of;
  try {
    of = message();
  } catch {
    // A header is not complete; the form says so when it is sent.
    return null;
  }
  const { payload, properties, ...rest } = of;
  const words = { exchange: exchange || "amq.default", ...rest };
  words.payload = payload.length > LINE_CHARS_MAX ? "…" : payload;
  words.properties = JSON.stringify(properties);
  const pairs = Object.entries(words).map(([key, value]) => `${key}=${value}`);
  return commandLine(command("publish", ...pairs, "-p", vhost));
}

// Properties and headers, folded away; `value()` is what was given of them.
function propertyFields() {
  const persistent = field({
    label: "Persistent",
    hint: "It survives a restart, in a durable queue.",
    type: "flag",
    value: true,
  });
  const headers = pairs({ label: "Headers" });
  const properties = PROPERTIES.map(([id, label, attributes]) => [
    id,
    field({ label, spellcheck: "false", ...attributes }),
  ]);
  const types = h(
    "datalist",
    { id: "content-types" },
    ["application/json", "text/plain", "application/octet-stream"].map((value) =>
      h("option", { value }),
    ),
  );
  const element = h(
    "details.more",
    h("summary", "Properties and headers"),
    persistent.element,
    h(
      "div.fields",
      properties.map(([, one]) => one.element),
    ),
    headers.element,
    types,
  );
  const value = () => {
    const set = properties.map(([id, one]) => [id, one.value()]).filter(([, text]) => text !== "");
    const typed = set.map(([id, text]) => [id, NUMBERS.has(id) ? Number(text) : text]);
    return {
      delivery_mode: persistent.value() ? 2 : 1,
      headers: headers.value(),
      ...Object.fromEntries(typed),
    };
  };
  return { element, value };
}
