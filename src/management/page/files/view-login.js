// Who are you? The form that opens a session.

import { fill, h } from "./element.js";
import { field, form } from "./form.js";
import { logIn } from "./session.js";

// Shows the form instead of everything else; `then` is called when somebody is logged in.
export function showLogin(place, then, problem) {
  const user = field({
    label: "User",
    name: "username",
    autocomplete: "username",
    required: true,
    autocapitalize: "none",
    spellcheck: "false",
  });
  const password = field({
    label: "Password",
    name: "password",
    type: "password",
    autocomplete: "current-password",
  });
  const login = form({
    parts: [user.element, password.element],
    action: "Log in",
    run: async () => {
      try {
        await logIn(user.value(), password.value());
      } catch (error) {
        password.set("");
        password.control.focus();
        throw error.status === 401 ? new Error(told(error.reason)) : error;
      }
      then();
    },
  });
  const icon = h("img", { src: "page/icon.svg", alt: "", width: 44, height: 44 });
  fill(place, h("main.login", h("div.login-head", icon, h("h1", "Leveret")), login.element));
  if (problem) {
    login.problem.show(problem);
  }
  user.control.focus();
}

function told(reason) {
  switch (reason) {
    case "Login failed":
      return "User and password do not fit together.";
    case "Not management user":
      return "This user may not use the page: it needs a tag such as management.";
    case "User can only log in via localhost":
      return "This user can log in on the broker's own machine only. Use another one, or a tunnel.";
    default:
      return reason;
  }
}
