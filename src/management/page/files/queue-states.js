// Which queues does somebody look for? States that the list can be filtered by.

import { h } from "./element.js";

const STATES = [
  ["ready", "Ready", "Messages wait"],
  ["growing", "Growing", "More comes than goes"],
  ["no_consumers", "No consumers", "Messages wait, and nobody consumes"],
  ["full", "Full", "It has as many messages as it may, and refuses more"],
  ["stalled", "Stalled", "Consumers have messages and acknowledge none"],
  ["dead_letters", "Dead letters", "The first message died elsewhere"],
  ["idle", "Idle", "Nothing comes and nothing goes"],
];

// Buttons that switch states in and out of the set `chosen`; a queue is shown that is in all of
// them.
export function stateChoices(chosen, changed) {
  const choice = ([state, label, hint]) => {
    const toggle = () => {
      chosen[chosen.has(state) ? "delete" : "add"](state);
      button.setAttribute("aria-pressed", String(chosen.has(state)));
      changed();
    };
    const button = h(
      "button",
      { type: "button", title: hint, onclick: toggle, "aria-pressed": String(chosen.has(state)) },
      label,
    );
    return button;
  };
  return h(
    "div.chips",
    { role: "group", "aria-label": "Only queues that are" },
    STATES.map(choice),
  );
}
