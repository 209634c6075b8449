// Which messages are in a queue? Looked at without taking them, filtered, and moved or dropped by
// their ids.

import { get, path, post, query } from "./api.js";
import { ask, commandLine, present } from "./dialog.js";
import { fill, h } from "./element.js";
import { bytes, command, count, duration, exchangeName, plural } from "./format.js";
import { field, form } from "./form.js";
import { messageBody } from "./message.js";
import { problemPlace } from "./notice.js";

const SHOWN = 50;
// So much of each body: enough to recognise it. Opened, a message is asked for as a whole.
const PREVIEW_BYTES = 8192;
const PREVIEW_CHARS = 120;

// The part of a queue's view that browses. queue: { vhost, name }; changed() after an action.
export function messageBrowser(page, queue, changed) {
  const state = {
    page,
    queue,
    changed,
    from: null,
    isLast: false,
    messages: [],
    marked: new Set(),
    next: null,
    list: h("div.messages"),
    bar: h("div.table-bar", { hidden: true }),
    foot: h("div.pager"),
    problem: problemPlace(),
  };
  const end = field({
    label: "From",
    type: "choice",
    value: "first",
    options: [
      ["first", "the front"],
      ["last", "the end"],
      ["at", "position"],
    ],
  });
  const position = field({ label: "Position", type: "number", min: 0, value: "0" });
  position.element.hidden = true;
  end.control.addEventListener("change", () => {
    position.element.hidden = end.value() !== "at";
  });
  const contains = field({ label: "Body contains", spellcheck: "false" });
  const header = field({ label: "Header", placeholder: "name:value", spellcheck: "false" });
  const key = field({ label: "Routing key", spellcheck: "false" });
  state.wanted = () => ({
    from: end.value() === "at" ? position.value() : null,
    last: end.value() === "last" ? "true" : null,
    contains: contains.value(),
    header: header.value(),
    routing_key: key.value(),
  });
  const made = form({
    parts: [
      h("div.fields", end.element, position.element, contains.element, header.element, key.element),
    ],
    action: "Browse",
    run: () => browse(state),
  });
  made.element.classList.add("inline-form");
  return h("div.browser", made.element, state.problem.element, state.bar, state.list, state.foot);
}

async function browse(state, from) {
  const { vhost, name } = state.queue;
  const filter = state.wanted();
  const start =
    from === undefined ? { from: filter.from, last: filter.last } : { from, last: null };
  const answer = await get(
    query(path`queues/${vhost}/${name}/browse`, {
      ...filter,
      ...start,
      count: SHOWN,
      truncate: PREVIEW_BYTES,
      paged: "true",
    }),
    { signal: state.page.signal },
  );
  state.messages = Array.isArray(answer) ? answer : answer.messages;
  state.next = Array.isArray(answer) ? null : answer.next;
  state.scanned = Array.isArray(answer) ? null : answer.scanned;
  state.marked.clear();
  drawMessages(state);
}

function drawMessages(state) {
  const { messages } = state;
  const isMarkable = messages.some(({ id }) => id !== undefined);
  const isFiltered = Object.entries(state.wanted()).some(
    ([key, value]) => !["from", "last"].includes(key) && value !== "",
  );
  const none = isFiltered
    ? `None of the ${plural(state.scanned ?? 0, "message")} that were looked at fits.`
    : "There are no messages here.";
  fill(
    state.list,
    messages.length === 0
      ? h("p.none", none)
      : messages.map((message) => messageLine(message, isMarkable && state, state)),
  );
  fill(
    state.foot,
    messages.length > 0 && h("span", `${plural(messages.length, "message")} shown`),
    state.next !== null &&
      h("button", { type: "button", onclick: () => further(state) }, "Further on"),
  );
  drawBar(state);
}

async function further(state) {
  try {
    await browse(state, state.next);
    state.problem.clear();
    state.list.scrollIntoView({ block: "nearest" });
  } catch (error) {
    state.problem.show(error);
  }
}

// One message: a line that opens. markable: the state of the browser, if it can be marked.
function messageLine(message, markable, browser) {
  const mark =
    markable &&
    h("input", {
      type: "checkbox",
      "aria-label": `Mark the message at position ${message.position}`,
      checked: markable.marked.has(message.id),
      onchange: (event) => {
        markable.marked[event.target.checked ? "add" : "delete"](message.id);
        drawBar(markable);
      },
    });
  const body = h("div.message-place");
  const death = deathOf(message);
  const preview = message.payload_encoding === "string" ? message.payload : "binary";
  const line = h(
    "details.message-line",
    {
      ontoggle: (event) =>
        event.target.open && body.childElementCount === 0 && open(message, body, browser),
    },
    h(
      "summary",
      message.position !== undefined && h("span.position", `#${count(message.position)}`),
      message.age_ms !== undefined &&
        h("span.age", { title: "How long it has been here" }, duration(message.age_ms)),
      h(
        "span.key",
        { title: "Exchange and routing key" },
        `${exchangeName(message.exchange)} → ${message.routing_key || "(no key)"}`,
      ),
      message.redelivered && h("span.badge.plain", "redelivered"),
      death &&
        h("span.badge.warn", { title: `It died in ${death.queue}` }, `dead: ${death.reason}`),
      h(
        "span.glimpse",
        { class: message.payload_encoding !== "string" && "faint" },
        preview.slice(0, PREVIEW_CHARS),
      ),
      h("span.size", bytes(message.payload_bytes)),
    ),
    body,
  );
  return h("div.message-row", mark, line);
}

const deathOf = ({ properties }) => properties?.headers?.["x-death"]?.[0];

// What was cut for the list is asked for again.
async function open(message, place, browser) {
  fill(place, messageBody(message));
  const isCut = message.payload_bytes > PREVIEW_BYTES && message.position !== undefined;
  if (!isCut || !browser) {
    return;
  }
  const { vhost, name } = browser.queue;
  const at = { from: message.position, count: 1 };
  try {
    const [whole] = await get(query(path`queues/${vhost}/${name}/browse`, at));
    // Another one may be there now.
    if (whole?.payload_bytes === message.payload_bytes && whole.id === message.id) {
      fill(place, messageBody(whole));
    }
  } catch {
    // The beginning is there.
  }
}

function drawBar(state) {
  const marked = state.marked.size;
  const ids = () => [...state.marked];
  const act = (label, run, isDangerous) =>
    h(
      `button${isDangerous ? ".danger" : ""}`,
      { type: "button", onclick: () => run(state, ids()) },
      label,
    );
  state.bar.hidden = marked === 0;
  const chosen = state.messages.filter(({ id }) => state.marked.has(id));
  fill(
    state.bar,
    h("span", `${count(marked)} marked`),
    act("Move…", (of, which) => transfer(of, which, "move")),
    act("Copy…", (of, which) => transfer(of, which, "copy")),
    chosen.some(deathOf) && act("Back to where they died…", requeue),
    act("Delete…", drop, true),
  );
}

async function after(state) {
  await browse(state, state.messages[0]?.position);
  state.changed();
}

const told = ({ done, missing, unroutable, skipped }) => {
  const left = [
    [missing, "were gone"],
    [unroutable, "had nowhere to go"],
    [skipped, "stayed"],
  ]
    .filter(([number]) => number > 0)
    .map(([number, text]) => `${number} ${text}`);
  return left.length > 0 && `${done} done; ${left.join(", ")}.`;
};

// Does it; what did not go is an error, since somebody meant it to.
async function send(state, verb, body) {
  const { vhost, name } = state.queue;
  const answer = await post(path`queues/${vhost}/${name}/messages/${verb}`, body);
  const left = told(answer ?? {});
  if (left) {
    await after(state);
    throw new Error(left);
  }
}

const lineOf = ({ queue: { vhost, name } }, verb, ids, ...more) =>
  command(verb, name, "--ids", ids.join(","), ...more, "-p", vhost);

function transfer(state, ids, verb) {
  const word = verb === "move" ? "Move" : "Copy";
  return present(`${word} ${plural(ids.length, "message")}`, (close) => {
    const kind = field({
      label: "To",
      type: "choice",
      value: "queue",
      options: [
        ["queue", "a queue"],
        ["exchange", "an exchange"],
      ],
    });
    const target = field({ label: "Name", required: true, spellcheck: "false" });
    const key = field({ label: "Routing key", hint: "Empty: as it was.", spellcheck: "false" });
    const line = h("div");
    const draw = () => {
      const isQueue = kind.value() === "queue";
      key.element.hidden = isQueue;
      const routing = isQueue || key.value() === "" ? [] : ["--routing-key", key.value()];
      const to = [isQueue ? "--to-queue" : "--to-exchange", target.value(), ...routing];
      fill(line, commandLine(lineOf(state, `${verb}_messages`, ids, ...to)));
    };
    const made = form({
      parts: [kind.element, target.element, key.element, line],
      action: word,
      run: async () => {
        const routing = key.value() === "" ? {} : { routing_key: key.value() };
        const isQueue = kind.value() === "queue";
        const to = isQueue ? { queue: target.value() } : { exchange: target.value(), ...routing };
        await send(state, verb, { ids, to });
        close();
        await after(state);
      },
    });
    made.element.addEventListener("input", draw);
    draw();
    return made.element;
  });
}

async function requeue(state, ids) {
  const isDone = await ask({
    title: `Send ${plural(ids.length, "message")} back?`,
    text: h(
      "p",
      "Each goes to the queue where it died first, and leaves this one once it is there. " +
        "If what it died of is still so, it may come back.",
    ),
    action: "Send back",
    command: lineOf(state, "move_messages", ids, "--to-origin"),
    isDangerous: false,
    run: () => send(state, "move", { ids, to: "origin" }),
    done: `Sent ${plural(ids.length, "message")} back.`,
  });
  return isDone && after(state);
}

async function drop(state, ids) {
  const isDone = await ask({
    title: `Delete ${plural(ids.length, "message")} of ${state.queue.name}?`,
    text: h("p", "They are gone for good."),
    command: lineOf(state, "delete_messages", ids),
    action: `Delete ${plural(ids.length, "message")}`,
    run: () => send(state, "delete", { ids }),
    done: `Deleted ${plural(ids.length, "message")}.`,
  });
  return isDone && after(state);
}

const MODES = [
  ["ack_requeue_true", "put back"],
  ["ack_requeue_false", "taken for good"],
  [
    "reject_requeue_false",
    "they are rejected: dead letters, if the queue has an exchange for them",
  ],
];

// A form that takes messages as a consumer would.
export function getForm(page, queue, changed) {
  const mode = field({
    label: "What becomes of them",
    type: "choice",
    options: MODES,
    value: MODES[0][0],
  });
  const number = field({ label: "Messages", type: "number", min: 1, max: 1000, value: "1" });
  const list = h("div.messages");
  const take = async () => {
    const taken = await post(path`queues/${queue.vhost}/${queue.name}/get`, {
      count: Number(number.value()),
      ackmode: mode.value(),
      encoding: "auto",
    });
    fill(
      list,
      taken.length === 0
        ? h("p.none", "There was no message to take.")
        : taken.map((message) => messageLine(message)),
    );
    changed();
  };
  const made = form({
    parts: [h("div.fields", number.element, mode.element)],
    action: "Get",
    run: async () => {
      if (mode.value() === MODES[0][0]) {
        await take();
        return;
      }
      const many = plural(Number(number.value()), "message");
      await ask({
        title: `Take ${many} out of ${queue.name}?`,
        text: h("p", "They leave the queue, and no consumer gets them."),
        action: `Take ${many}`,
        command: command(
          "get",
          `queue=${queue.name}`,
          `count=${number.value()}`,
          `ackmode=${mode.value()}`,
          "-p",
          queue.vhost,
        ),
        run: take,
      });
    },
  });
  return h("div.browser", made.element, list);
}
