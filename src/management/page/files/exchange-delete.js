// What goes with an exchange that is deleted, and may it?

import { get, path, query, remove } from "./api.js";
import { ask } from "./dialog.js";
import { h } from "./element.js";
import { command, count, name, plural } from "./format.js";
import { notify } from "./notice.js";
import { session } from "./session.js";

// Those that every virtual host has, and has to have.
export const isBuiltIn = ({ name: exchange }) => exchange === "" || exchange.startsWith("amq.");

// So many are asked how many bindings they have, before they are deleted.
const COUNTED_MAX = 100;

// So many bindings nobody makes anew by hand.
const TYPED_FROM = 100;

// How many bindings lead from an exchange, and to it.
async function bindingsOf({ vhost, name: exchange }) {
  const of = path`exchanges/${vhost}/${exchange}/bindings`;
  const number = (end) => get(query(`${of}/${end}`, { page: 1, page_size: 1 }));
  const [from, to] = await Promise.all([number("source"), number("destination")]);
  return from.total_count + to.total_count;
}

// Asks and deletes; resolves to whether that was done.
export async function deleteExchanges(rows) {
  const exchanges = rows.filter((row) => !isBuiltIn(row));
  if (exchanges.length === 0) {
    notify("Every virtual host has these: they cannot be deleted.");
    return false;
  }
  const counted = exchanges.slice(0, COUNTED_MAX);
  const bindings = await Promise.all(counted.map(bindingsOf));
  const sum = bindings.reduce((total, of) => total + of, 0);
  const [first] = exchanges;
  const several = plural(exchanges.length, "exchange");
  const isOne = exchanges.length === 1;
  const lines = exchanges.map((one) =>
    command("delete", "exchange", `name=${one.name}`, "-p", one.vhost),
  );
  return ask({
    title: `Delete ${isOne ? name(first.name) : several}?`,
    text: [
      h("p", lossOf(exchanges, sum)),
      !isOne &&
        h(
          "ul.listed",
          counted.map((one, at) => itemOf(one, bindings[at])),
        ),
      rows.length > exchanges.length &&
        h("p.hint", `${rows.length - exchanges.length} that every virtual host has stay.`),
    ],
    action: `Delete ${isOne ? "exchange" : several}`,
    typed: sum >= TYPED_FROM ? (isOne ? first.name : String(sum)) : undefined,
    command: lines.join("\n"),
    run: () => deleteEach(exchanges),
    done: `Deleted ${isOne ? name(first.name) : several}.`,
  });
}

function lossOf(exchanges, sum) {
  const more = exchanges.length > COUNTED_MAX ? "at least " : "";
  const who = exchanges.length === 1 ? "The exchange goes" : "They go";
  return (
    `${who} with ${more}${plural(sum, "binding")}. ` +
    "Who publishes to what is gone loses the channel with an error; queues and messages stay."
  );
}

const itemOf = ({ name: exchange, vhost }, bindings) =>
  h(
    "li",
    h("strong", name(exchange)),
    ` – ${count(bindings)} ${bindings === 1 ? "binding" : "bindings"}`,
    session.vhosts.length > 1 && ` in ${vhost}`,
  );

// One after the other; one that is gone needs nothing more.
async function deleteEach(exchanges) {
  for (const { vhost, name: exchange } of exchanges) {
    await remove(path`exchanges/${vhost}/${exchange}`).catch((error) => {
      if (error.status !== 404) {
        throw error;
      }
    });
  }
}
