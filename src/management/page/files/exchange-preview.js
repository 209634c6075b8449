// Where would a message go? Asks the broker's own routing, which publishes nothing.

import { path, post } from "./api.js";
import { h } from "./element.js";
import { count, plural } from "./format.js";
import { exchangeLink, queueLink, show } from "./parts.js";

const TYPING_MS = 150;
const NAMED_MAX = 50;

// A preview for a form of publish.js; `told(reached)` is called with what is reached, a set of
// "queue NAME" and "exchange NAME". `update()` asks again, `begin()` when the form is there.
export function previewOf({ page, vhost, exchange, told }) {
  const answer = h("div.preview-answer", { role: "status", "aria-label": "Where it would go" });
  const state = { page, vhost, exchange, told, answer, message: null, asked: 0, timer: null };
  const update = () => look(state);
  const begin = (publish) => {
    state.message = publish.message;
    publish.element.addEventListener("input", () => {
      clearTimeout(state.timer);
      state.timer = setTimeout(() => look(state).catch(() => {}), TYPING_MS);
    });
  };
  const element = h(
    "div.card.preview",
    h("p.hint", "As you type, by the broker’s own routing. Nothing is published."),
    answer,
  );
  return { element, update, begin };
}

async function look(state) {
  let message;
  try {
    message = state.message();
  } catch {
    // A header is not complete; the form says so when it is sent.
    return;
  }
  state.asked += 1;
  const { asked } = state;
  const { vhost, exchange } = state;
  const about = { routing_key: message.routing_key, headers: message.properties.headers };
  let found;
  try {
    found = await post(path`exchanges/${vhost}/${exchange || "amq.default"}/route`, about);
  } catch (error) {
    if (asked === state.asked && !state.page.signal.aborted) {
      draw(state, h("p.problem", error.message));
      state.told(new Set());
    }
    return;
  }
  if (asked !== state.asked || state.page.signal.aborted) {
    return;
  }
  draw(state, answerOf(state, about, found));
  state.told(
    new Set([
      ...found.queues.map(({ name }) => `queue ${name}`),
      ...found.exchanges.slice(1).map(({ name }) => `exchange ${name}`),
    ]),
  );
}

const draw = ({ answer }, fresh) => show(answer, h("div.stack", fresh));

function answerOf({ vhost, exchange }, { routing_key: key }, found) {
  const { queues, queue_count: many, exchanges, certain } = found;
  const [here, ...passed] = exchanges;
  const shown = queues
    .map(({ name }) => name)
    .sort()
    .slice(0, NAMED_MAX);
  const said = key === "" ? "A message without a routing key" : ["With ", h("code", key), " it"];
  return [
    many === 0
      ? h(
          "p.preview-none",
          h("strong", said, " reaches no queue."),
          h("span.hint", lostText(exchange)),
        )
      : h(
          "p",
          h("strong", said, ` reaches ${plural(many, "queue")}`),
          certain ? ":" : ", this time:",
        ),
    h(
      "ul.reached",
      shown.map((name) => h("li", queueLink(vhost, name))),
    ),
    many > shown.length && h("p.hint", `and ${count(many - shown.length)} more`),
    passed.length > 0 &&
      h(
        "p.hint",
        "On its way it passes ",
        passed
          .slice(0, NAMED_MAX)
          .map(({ name }, at) => [at > 0 && ", ", exchangeLink(vhost, name)]),
        ".",
      ),
    !certain && h("p.warn-text", uncertainText(exchanges)),
    here?.type === "x-delayed-message" &&
      h("p.hint", "With a header x-delay it goes there after so many milliseconds."),
    here?.type === "x-message-deduplication" &&
      h("p.hint", "Unless the exchange has seen its x-deduplication-header: then it is dropped."),
  ];
}

const lostText = (exchange) =>
  "It would be lost, or returned to who asked for that (mandatory). " +
  (exchange === "" ? "The key has to be the name of a queue." : "Bind a queue that takes it.");

function uncertainText(exchanges) {
  return exchanges.some(({ type }) => type === "x-random")
    ? "Chance decides each time: the next one may go another way. Certain is that one gets it."
    : "A property of the message decides, which is not asked here: it may go another way. " +
        "Certain is that one gets it.";
}
