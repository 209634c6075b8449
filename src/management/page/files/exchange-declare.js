// How is an exchange made by hand?

import { path, put } from "./api.js";
import { commandLine, present } from "./dialog.js";
import { fill, h } from "./element.js";
import { field, form, pairs } from "./form.js";
import { command, name } from "./format.js";
import { notify } from "./notice.js";
import { link } from "./router.js";
import { session } from "./session.js";

// What each type does with a message, in a sentence.
export const TYPES = {
  direct: "To what is bound with exactly its routing key.",
  fanout: "To everything that is bound.",
  topic: "By patterns: * is one word of the key, # any number of them.",
  headers: "By the message's headers, whatever its key.",
  "x-consistent-hash":
    "To one of what is bound, the same for the same key; binding keys are weights.",
  "x-random": "To one of what is bound, by chance.",
  "x-delayed-message":
    "Later, after the milliseconds of the header x-delay; as x-delayed-type says.",
  "x-message-deduplication": "Each message once, by the header x-deduplication-header.",
};

const ARGUMENTS = [
  "alternate-exchange",
  "hash-header",
  "hash-property",
  "x-delayed-type",
  "x-cache-size",
  "x-cache-ttl",
];

// Asks for an exchange and declares it.
export function declareExchange() {
  return present("New exchange", (close) => {
    const vhost = field({
      label: "Virtual host",
      type: "choice",
      options: session.vhosts.map((one) => [one, name(one)]),
      value: session.vhost || session.vhosts[0],
    });
    const exchange = field({ label: "Name", required: true, spellcheck: "false" });
    const type = field({
      label: "Type",
      type: "choice",
      options: Object.keys(TYPES),
      value: "direct",
    });
    const hint = h("p.hint", { "aria-live": "polite" }, TYPES.direct);
    const flags = flagFields();
    const more = pairs({ label: "Arguments", suggestions: ARGUMENTS });
    const line = h("div");
    const read = () => ({ type: type.value(), ...flags.value(), arguments: more.value() });
    const made = form({
      parts: [
        h("div.fields", vhost.element, exchange.element, type.element),
        hint,
        h("div.fields.flags", flags.elements, more.element),
        line,
      ],
      action: "Declare exchange",
      run: async () => {
        await put(path`exchanges/${vhost.value()}/${exchange.value()}`, read());
        close();
        notify(`Declared ${exchange.value()}.`);
        location.hash = link(["exchanges", vhost.value(), exchange.value()]);
      },
    });
    made.element.addEventListener("input", () => {
      hint.textContent = TYPES[type.value()];
      fill(line, lineOf(vhost.value(), exchange.value(), read));
    });
    return made.element;
  });
}

function flagFields() {
  const flag = (label, hint, value = false) => field({ label, hint, type: "flag", value });
  const durable = flag("Durable", "It is there again after a restart.", true);
  const autoDelete = flag("Auto-delete", "It goes with the last thing that is bound to it.");
  const internal = flag("Internal", "Only other exchanges lead to it; nobody publishes to it.");
  return {
    elements: [durable.element, autoDelete.element, internal.element],
    value: () => ({
      durable: durable.value(),
      auto_delete: autoDelete.value(),
      internal: internal.value(),
    }),
  };
}

function lineOf(vhost, exchange, read) {
  try {
    const { arguments: of, ...rest } = read();
    const words = Object.entries({ name: exchange, ...rest }).map(([key, to]) => `${key}=${to}`);
    if (Object.keys(of).length > 0) {
      words.push(`arguments=${JSON.stringify(of)}`);
    }
    return commandLine(command("declare", "exchange", ...words, "-p", vhost));
  } catch {
    // What was typed is not complete; the form says so when it is sent.
    return null;
  }
}
