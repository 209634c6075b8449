// How is something asked for? Fields with a label each, tables of names and values, and forms that
// say what is wrong where it is.

import { fill, h } from "./element.js";
import { problemPlace } from "./notice.js";

// A field with its label; `element` to show, `value()` and `set()`.
//
// label, hint; type: text, password, number, area, choice or flag; options: for a choice, texts or
// [value, text]; the rest are attributes of the control.
export function field({ label, hint, type = "text", options = [], value = "", ...attributes }) {
  const control = controlOf(type, options, attributes);
  const set = (to) => {
    control[type === "flag" ? "checked" : "value"] = to;
  };
  set(value);
  const read = () => (type === "flag" ? control.checked : control.value);
  const name = h("span.label", label);
  const told = hint && h("span.hint", hint);
  const parts = type === "flag" ? [control, name, told] : [name, control, told];
  return { element: h(`label.field.${type}`, parts), control, value: read, set };
}

function controlOf(type, options, attributes) {
  switch (type) {
    case "choice": {
      const pairs = options.map((option) => (Array.isArray(option) ? option : [option, option]));
      return h(
        "select",
        attributes,
        pairs.map(([value, text]) => h("option", { value }, text)),
      );
    }
    case "area":
      return h("textarea", { rows: 5, spellcheck: "false", ...attributes });
    case "flag":
      return h("input", { type: "checkbox", ...attributes });
    default:
      return h("input", { type, autocomplete: "off", ...attributes });
  }
}

const TYPES = [
  ["text", "text"],
  ["number", "number"],
  ["flag", "true/false"],
  ["json", "JSON"],
];

// A table of names and values, such as headers or arguments; `value()` is an object, and throws an
// Error that says which of them is none.
export function pairs({ label, suggestions = [] }) {
  const rows = h("div.pairs-rows");
  const id = `names-${label.replaceAll(/\W/g, "-")}`;
  const addRow = (key = "", value = "", type = "text", isFocused = false) => {
    const keyInput = h("input", {
      "aria-label": `${label}: name`,
      placeholder: "name",
      list: id,
      autocomplete: "off",
      value: key,
    });
    const valueInput = h("input", {
      "aria-label": `${label}: value`,
      placeholder: "value",
      autocomplete: "off",
      value,
    });
    const kind = h(
      "select",
      { "aria-label": `${label}: type` },
      TYPES.map(([of, text]) => h("option", { value: of, selected: of === type }, text)),
    );
    const drop = h(
      "button.quiet",
      { type: "button", "aria-label": `${label}: remove`, onclick: () => row.remove() },
      "×",
    );
    const row = h("div.pair", keyInput, valueInput, kind, drop);
    row.read = () => [keyInput.value, valueInput.value, kind.value];
    rows.append(row);
    if (isFocused) {
      keyInput.focus();
    }
  };
  const more = h(
    "button.quiet",
    { type: "button", onclick: () => addRow("", "", "text", true) },
    "+ Add",
  );
  const names = h(
    "datalist",
    { id },
    suggestions.map((value) => h("option", { value })),
  );
  const element = h("fieldset.pairs", h("legend", label), rows, more, names);
  const value = () => {
    const read = [...rows.children].map((row) => row.read()).filter(([key]) => key !== "");
    return Object.fromEntries(read.map(([key, text, type]) => [key, parsed(key, text, type)]));
  };
  return { element, value, add: addRow, clear: () => fill(rows) };
}

function parsed(key, text, type) {
  switch (type) {
    case "number":
      if (text.trim() === "" || !Number.isFinite(Number(text))) {
        throw new Error(`${key}: '${text}' is no number`);
      }
      return Number(text);
    case "flag":
      if (text !== "true" && text !== "false") {
        throw new Error(`${key}: write true or false`);
      }
      return text === "true";
    case "json":
      try {
        return JSON.parse(text);
      } catch {
        throw new Error(`${key}: this is no JSON`);
      }
    default:
      return text;
  }
}

// A form: its parts, the button's word, and what it does, whose error is shown above the button.
export function form({ parts, action, run, isPrimary = true, more = [] }) {
  const problem = problemPlace();
  const button = h(`button${isPrimary ? ".primary" : ""}`, { type: "submit" }, action);
  const submit = async (event) => {
    event.preventDefault();
    button.disabled = true;
    problem.clear();
    try {
      await run();
    } catch (error) {
      problem.show(error);
    } finally {
      button.disabled = false;
    }
  };
  const buttons = h("div.buttons", more, button);
  const element = h("form.stack", { onsubmit: submit }, parts, problem.element, buttons);
  return { element, button, problem };
}
