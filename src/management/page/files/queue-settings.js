// What is in force for a queue, and which rule won: its argument, its policy or the operator's?

import { get, path } from "./api.js";
import { h } from "./element.js";
import { exchangeName, value } from "./format.js";
import { badge, plainTable } from "./parts.js";

// Asks for the policies that a queue names: { policy, operator }, each a definition or {}.
export async function policiesOf({ vhost, policy, operator_policy: operator }, signal) {
  const definition = async (kind, name) => {
    if (!name) {
      return {};
    }
    try {
      return (await get(path`${kind}/${vhost}/${name}`, { signal })).definition;
    } catch (error) {
      // It went in between.
      if (error.status === 404) {
        return {};
      }
      throw error;
    }
  };
  const [mine, theirs] = await Promise.all([
    definition("policies", policy),
    definition("operator-policies", operator),
  ]);
  return { policy: mine, operator: theirs };
}

// The settings of a queue, one line each: { key, argument, policy, operator, value, from }. Of
// numbers the smallest is in force; of anything else the argument's, then the operator policy's,
// then the policy's.
export function settings(queue, { policy, operator }) {
  const argument = Object.fromEntries(
    Object.entries(queue.arguments ?? {}).map(([key, of]) => [key.replace(/^x-/, ""), of]),
  );
  const keys = [...new Set([argument, policy, operator].flatMap(Object.keys))].sort();
  return keys.map((key) => {
    const given = [
      ["argument", argument[key]],
      ["operator policy", operator[key]],
      ["policy", policy[key]],
    ].filter(([, of]) => of !== undefined);
    const isCount = given.every(([, of]) => typeof of === "number");
    const smaller = (best, one) => (one[1] < best[1] ? one : best);
    const [from, inForce] = isCount ? given.reduce(smaller) : given[0];
    return {
      key,
      argument: argument[key],
      policy: policy[key],
      operator: operator[key],
      value: inForce,
      from,
    };
  });
}

// They as a table.
export function settingsTable(queue, policies) {
  const shown = (one, from, of) => {
    if (of === undefined) {
      return h("span.faint", "–");
    }
    const text = one.key === "dead-letter-exchange" ? exchangeName(of) : value(of);
    return one.from === from ? h("strong", text) : h("s", { title: "Another rule won" }, text);
  };
  const rows = settings(queue, policies).map((one) => [
    h("code", one.key),
    shown(one, "argument", one.argument),
    shown(one, "policy", one.policy),
    shown(one, "operator policy", one.operator),
    badge(one.from, "plain", "Where the value in force comes from"),
  ]);
  const named = (kind, name) => (name ? `${kind}: ${name}` : kind);
  return plainTable(
    "Settings and where they come from",
    [
      "Setting",
      "Argument",
      named("Policy", queue.policy),
      named("Operator policy", queue.operator_policy),
      "In force",
    ],
    rows,
    "It has no arguments, and no policy applies to it.",
  );
}
