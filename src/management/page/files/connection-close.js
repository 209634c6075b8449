// How is a connection closed by hand? With a reason, which its client is told.

import { path, remove } from "./api.js";
import { ask, commandLine } from "./dialog.js";
import { fill, h } from "./element.js";
import { field } from "./form.js";
import { command, plural } from "./format.js";

const REASON = "Closed by an operator";

// A header is made of bytes; a browser takes them as characters.
const headerOf = (text) => String.fromCharCode(...new TextEncoder().encode(text));

// Asks for a reason and closes connections, rows as the list gives them; resolves to whether that
// was done.
export function closeConnections(connections) {
  const reason = field({
    label: "Reason",
    hint: "Its client is told.",
    value: REASON,
    maxlength: 150,
  });
  const said = () => reason.value().trim() || REASON;
  const line = h("div");
  const draw = () =>
    fill(line, commandLine(connections.map((one) => lineOf(one, said())).join("\n")));
  reason.control.addEventListener("input", draw);
  draw();
  const several = plural(connections.length, "connection");
  const [first] = connections;
  const title = connections.length === 1 ? calledOf(first) : several;
  return ask({
    title: `Close ${title}?`,
    text: [
      h("p", lossOf(connections)),
      h("ul.listed", connections.slice(0, 10).map(itemOf)),
      connections.length > 10 && h("p.hint", `and ${connections.length - 10} more`),
      reason.element,
      line,
    ],
    action: `Close ${connections.length === 1 ? "connection" : several}`,
    run: () => closeEach(connections, said()),
    done: `Closed ${several}.`,
  });
}

const lineOf = ({ name }, reason) => command("close_connection", name, reason);

// What its client calls it, or its address.
export const calledOf = ({ user_provided_name: provided, name }) => provided || name;

const itemOf = ({ name, user_provided_name: provided, user }) =>
  h("li", h("strong", name), ` – ${[provided, `user ${user}`].filter(Boolean).join(", ")}`);

function lossOf(connections) {
  const channels = connections.reduce((sum, one) => sum + (one.channels ?? 0), 0);
  const end = `${plural(channels, "channel")} and their consumers end`;
  return `${end}; what they did not ack goes back to its queue. Most clients connect again.`;
}

// One that is gone needs nothing more.
async function closeEach(connections, reason) {
  const headers = { "X-Reason": headerOf(reason) };
  for (const { name } of connections) {
    await remove(path`connections/${name}`, { headers }).catch((error) => {
      if (error.status !== 404) {
        throw error;
      }
    });
  }
}
