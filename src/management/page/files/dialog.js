// How does somebody say yes to what cannot be undone? By a dialog that names it and counts what
// goes, and shows the line of leveretctl that does the same. Large losses want the name typed.

import { fill, h } from "./element.js";
import { notify, problemPlace } from "./notice.js";

// Asks before something is done, and does it: `run` is called when the answer is yes, its error is
// shown in the dialog, which then stays. Resolves to whether it was done.
//
// title, text: what goes, and how much. action: the button's word. command: the line of leveretctl.
// typed: what has to be typed first. isDangerous: red. done: what is said afterwards.
export function ask({ title, text, action, command, typed, isDangerous = true, run, done }) {
  const { dialog, body, problem, whenClosed } = open(title);
  const confirm = h(`button.${isDangerous ? "danger" : "primary"}`, { type: "submit" }, action);
  const input =
    typed !== undefined &&
    h("input", {
      name: "typed",
      autocomplete: "off",
      spellcheck: "false",
      "aria-label": `Type ${typed}`,
    });
  const check = () => {
    confirm.disabled = input.value !== typed;
  };
  if (input) {
    input.addEventListener("input", check);
    check();
  }
  let isDone = false;
  const submit = async (event) => {
    event.preventDefault();
    if (confirm.disabled) {
      return;
    }
    confirm.disabled = true;
    problem.clear();
    try {
      await run();
      isDone = true;
      dialog.close();
    } catch (error) {
      problem.show(error);
      confirm.disabled = false;
    }
  };
  const cancel = h("button", { type: "button", onclick: () => dialog.close() }, "Cancel");
  fill(
    body,
    h("div.dialog-text", text),
    input && h("label.typed", h("span", "Type ", h("code", typed), " to go on"), input),
    command && commandLine(command),
    problem.element,
    h("div.buttons", cancel, confirm),
  );
  body.addEventListener("submit", submit);
  show(dialog, input || cancel);
  return whenClosed(() => {
    if (isDone && done) {
      notify(done);
    }
    return isDone;
  });
}

// A dialog with something in it, such as a form; `build(close)` gives that. Resolves when it is
// closed.
export function present(title, build) {
  const { dialog, body, whenClosed } = open(title, "div");
  dialog.classList.add("wide");
  const close = () => dialog.close();
  const content = build(close);
  const isForm = content.matches("form");
  const button = h("button", { type: "button", onclick: close }, isForm ? "Cancel" : "Close");
  if (isForm) {
    content.querySelector(":scope > .buttons").prepend(button);
  }
  fill(body, content, !isForm && h("div.buttons", button));
  show(dialog, content.querySelector("input, select, textarea") ?? button);
  return whenClosed(() => undefined);
}

// A line to copy into a terminal.
export function commandLine(command) {
  const text = h("code", command);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(command);
      button.textContent = "Copied";
    } catch {
      // Pages without TLS may not write there: it is marked, for the keyboard to copy.
      getSelection().selectAllChildren(text);
      button.textContent = "Press Ctrl+C";
    }
  };
  const button = h("button.quiet", { type: "button", onclick: copy }, "Copy line");
  return h(
    "div.command",
    { role: "group", "aria-label": "The same with leveretctl" },
    text,
    button,
  );
}

let number = 0;

function open(title, kind = "form") {
  number += 1;
  const id = `dialog-${number}`;
  const problem = problemPlace();
  const body = h(`${kind}.dialog-body`, kind === "form" && { method: "dialog" });
  const dialog = h("dialog", { "aria-labelledby": id }, h("h2", { id }, title), body);
  const before = document.activeElement;
  const whenClosed = (answer) =>
    new Promise((resolve) => {
      dialog.addEventListener("close", () => {
        dialog.remove();
        // Back to where somebody was, if that is still there.
        before?.focus?.();
        resolve(answer());
      });
    });
  return { dialog, body, problem, whenClosed };
}

function show(dialog, first) {
  document.body.append(dialog);
  dialog.showModal();
  first.focus();
}
