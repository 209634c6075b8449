// What is asked about a virtual host: what it is called, what is said of it, whether it goes?

import { get, path, post, put, remove } from "./api.js";
import { change, limitFields } from "./admin.js";
import { ask } from "./dialog.js";
import { h } from "./element.js";
import { field } from "./form.js";
import { command, name, plural } from "./format.js";
import { learnVhosts } from "./session.js";

// What a virtual host may have limits on.
export const LIMITS = { "max-connections": "Connections", "max-queues": "Queues" };

function fieldsOf({ description = "", tags = [], default_queue_type: type }) {
  return {
    description: field({ label: "Description", value: description }),
    tags: field({ label: "Tags", hint: "With commas between them.", value: tags.join(", ") }),
    type: field({
      label: "Default queue type",
      hint: "Of queues that are declared without one.",
      type: "choice",
      options: [["undefined", "classic, as everywhere"], "classic", "quorum", "stream"],
      value: type ?? "undefined",
    }),
  };
}

const words = (text) =>
  text
    .split(",")
    .map((word) => word.trim())
    .filter((word) => word !== "");

const bodyOf = ({ description, tags, type }) => ({
  description: description.value(),
  tags: words(tags.value()),
  default_queue_type: type.value(),
});

function lineOf(vhost, { description, tags, type }) {
  const options = [
    ["--description", description.value()],
    ["--tags", words(tags.value()).join(",")],
    ["--default-queue-type", type.value() === "undefined" ? "" : type.value()],
  ].filter(([, value]) => value !== "");
  return command("add_vhost", ...options.flat(), vhost);
}

// Asks for a new virtual host.
export function createVhost(changed) {
  const vhost = field({ label: "Name", required: true, spellcheck: "false" });
  const fields = fieldsOf({});
  const guard = field({
    label: "Protected from deletion",
    hint: "It cannot be deleted before this is taken back.",
    type: "flag",
  });
  return change({
    title: "New virtual host",
    parts: [vhost.element, ...Object.values(fields).map(({ element }) => element)],
    more: guard.element,
    action: "Create virtual host",
    command: () => vhost.value() && lineOf(vhost.value(), fields),
    run: async () => {
      const vhosts = await get("vhosts?columns=name&disable_stats=true");
      if (vhosts.some(({ name: one }) => one === vhost.value())) {
        throw new Error(`There is a virtual host ${vhost.value()} already.`);
      }
      await put(path`vhosts/${vhost.value()}`, {
        ...bodyOf(fields),
        protected_from_deletion: guard.value(),
      });
      await learnVhosts();
    },
    done: () => `Created ${name(vhost.value())}.`,
    changed,
  });
}

// Asks what is to be said of a virtual host.
export function describeVhost(now, changed) {
  const fields = fieldsOf(now);
  return change({
    title: `Describe ${name(now.name)}`,
    parts: Object.values(fields).map(({ element }) => element),
    action: "Save",
    command: () => command("set_vhost_tags", now.name, ...words(fields.tags.value())),
    run: () => put(path`vhosts/${now.name}`, bodyOf(fields)),
    done: () => `Saved what is said of ${name(now.name)}.`,
    changed,
  });
}

// Asks for the limits of a virtual host.
export function setVhostLimits(vhost, limits, changed) {
  const fields = limitFields(LIMITS, limits);
  return change({
    title: `Limits of ${name(vhost)}`,
    parts: fields.elements,
    more: h("p.hint", "What is there already stays, however much it is."),
    action: "Set limits",
    command: () => command("set_vhost_limits", "-p", vhost, JSON.stringify(fields.command())),
    run: () => fields.put((id) => path`vhost-limits/${vhost}/${id}`),
    done: () => `Set the limits of ${name(vhost)}.`,
    changed,
  });
}

// Switches the firehose on or off, after a question.
export async function trace({ name: vhost, tracing }, changed) {
  const isDone = await ask({
    title: `${tracing ? "Stop" : "Start"} tracing ${name(vhost)}?`,
    text: tracing
      ? h("p", "No more copies are published to amq.rabbitmq.trace.")
      : h(
          "p",
          "A copy of every message that is published or delivered there goes to the exchange ",
          "amq.rabbitmq.trace. It costs as much as the messages do.",
        ),
    action: tracing ? "Stop tracing" : "Start tracing",
    isDangerous: false,
    command: command(tracing ? "trace_off" : "trace_on", "-p", vhost),
    run: () => put(path`vhosts/${vhost}`, { tracing: !tracing }),
    done: `${name(vhost)} is ${tracing ? "not traced any more" : "traced"}.`,
  });
  return isDone && changed();
}

// Protects from deletion, or takes that back.
export async function protect({ name: vhost, protected_from_deletion: isProtected }, changed) {
  const of = path`vhosts/${vhost}/deletion/protection`;
  const isDone = await ask({
    title: isProtected ? `Let ${name(vhost)} be deleted?` : `Protect ${name(vhost)}?`,
    text: isProtected
      ? h("p", "Then it can be deleted with all that is in it.")
      : h("p", "Then nobody deletes it before that is taken back."),
    action: isProtected ? "Take protection back" : "Protect from deletion",
    isDangerous: false,
    command: command(`${isProtected ? "disable" : "enable"}_vhost_protection_from_deletion`, vhost),
    run: () => (isProtected ? remove(of) : post(of)),
    done: `${name(vhost)} is ${isProtected ? "not protected any more" : "protected"}.`,
  });
  return isDone && changed();
}

// Deletes a virtual host once its name was typed.
export async function dropVhost(vhost, changed) {
  const now = await get(path`vhosts/${vhost}`);
  const isDone = await ask({
    title: `Delete ${name(vhost)}?`,
    text: [
      h(
        "p",
        "The virtual host goes with ",
        h("strong", plural(now.queues, "queue")),
        " and ",
        h("strong", plural(now.messages ?? 0, "message")),
        ", its exchanges, bindings and policies, and what users may do there. ",
        "Connections to it are closed. Nothing of it comes back.",
      ),
      now.protected_from_deletion &&
        h("p.warn-text", "It is protected from deletion: take that back first."),
    ],
    action: "Delete virtual host",
    typed: vhost,
    command: command("delete_vhost", vhost),
    run: async () => {
      await remove(path`vhosts/${vhost}`);
      await learnVhosts();
    },
    done: `Deleted ${name(vhost)}.`,
  });
  return isDone && changed();
}
