// How is a queue made by hand?

import { path, put } from "./api.js";
import { commandLine, present } from "./dialog.js";
import { fill, h } from "./element.js";
import { field, form, pairs } from "./form.js";
import { command, name } from "./format.js";
import { notify } from "./notice.js";
import { link } from "./router.js";
import { session } from "./session.js";

const ARGUMENTS = [
  "x-message-ttl",
  "x-expires",
  "x-max-length",
  "x-max-length-bytes",
  "x-overflow",
  "x-dead-letter-exchange",
  "x-dead-letter-routing-key",
  "x-max-priority",
  "x-single-active-consumer",
  "x-delivery-limit",
  "x-max-age",
];

// Asks for a queue and declares it.
export function declare() {
  return present("New queue", (close) => {
    const vhost = field({
      label: "Virtual host",
      type: "choice",
      options: session.vhosts.map((one) => [one, name(one)]),
      value: session.vhost || session.vhosts[0],
    });
    const queue = field({ label: "Name", required: true, spellcheck: "false" });
    const type = field({
      label: "Type",
      type: "choice",
      options: ["classic", "quorum", "stream"],
      value: "classic",
    });
    const durable = field({
      label: "Durable",
      hint: "It is there again after a restart.",
      type: "flag",
      value: true,
    });
    const more = pairs({ label: "Arguments", suggestions: ARGUMENTS });
    const line = h("div");
    const read = () => ({
      durable: durable.value() || type.value() !== "classic",
      arguments: {
        ...more.value(),
        ...(type.value() === "classic" ? {} : { "x-queue-type": type.value() }),
      },
    });
    const parts = [vhost.element, queue.element, type.element, durable.element, more.element];
    const made = form({
      parts: [h("div.fields", parts), line],
      action: "Declare queue",
      run: async () => {
        await put(path`queues/${vhost.value()}/${queue.value()}`, read());
        close();
        notify(`Declared ${queue.value()}.`);
        location.hash = link(["queues", vhost.value(), queue.value()]);
      },
    });
    made.element.addEventListener("input", () => fill(line, commandOf(vhost, queue, read)));
    return made.element;
  });
}

function commandOf(vhost, queue, read) {
  try {
    const { durable, arguments: of } = read();
    const words = [`name=${queue.value()}`, `durable=${durable}`];
    if (Object.keys(of).length > 0) {
      words.push(`arguments=${JSON.stringify(of)}`);
    }
    return commandLine(command("declare", "-V", vhost.value(), "queue", ...words));
  } catch {
    // What was typed is not complete; the form says so when it is sent.
    return null;
  }
}
