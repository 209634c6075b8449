// What is shown now? Starts the page, follows its address, and brings the view up to date.

import { onLoggedOut } from "./api.js";
import { fill, h } from "./element.js";
import { noticeRegion, problemPlace } from "./notice.js";
import { match, where } from "./router.js";
import { learnVhosts, logOut, may, resume, session } from "./session.js";
import { applyTheme, refreshSeconds, shell } from "./shell.js";
import { showLogin } from "./view-login.js";
import { NAVIGATION, VIEWS } from "./views.js";

// Vhosts come and go seldom.
const VHOSTS_EVERY_MS = 60_000;

let frame = null;
let shown = null;

start();

async function start() {
  applyTheme();
  onLoggedOut(leave);
  setInterval(() => session.user !== null && learnVhosts().catch(() => {}), VHOSTS_EVERY_MS);
  addEventListener("hashchange", () => {
    if (session.user !== null) {
      open();
      // Who uses the keyboard or listens goes on in what is new.
      frame.main.focus({ preventScroll: true });
    }
  });
  document.addEventListener("visibilitychange", () => !document.hidden && shown?.refresh());
  try {
    await resume();
    enter();
  } catch (error) {
    login(error.status === 401 ? null : error);
  }
}

// Somebody is logged in.
function enter() {
  frame = shell({
    navigation: NAVIGATION,
    changed: open,
    leave: async () => {
      try {
        await logOut();
      } finally {
        leave();
      }
    },
  });
  fill(document.body, frame.elements, noticeRegion());
  open();
}

// Nobody is any more.
function leave() {
  session.user = null;
  close();
  login(null);
}

function login(problem) {
  document.title = "Log in – Leveret";
  showLogin(document.body, enter, problem);
}

function close() {
  // What somebody was asked was about what is left now.
  document.querySelectorAll("dialog").forEach((dialog) => dialog.close());
  shown?.close();
  shown = null;
}

// Shows the view that the address leads to.
function open() {
  close();
  const { segments, parameters } = where();
  const found = match(VIEWS, segments);
  if (!found || !may(found.view.right)) {
    return nowhere(found);
  }
  const { view, names } = found;
  document.title = `${view.title(names)} – Leveret`;
  frame.show(view.id);
  const problem = problemPlace();
  const root = h("div.view");
  fill(frame.main, problem.element, root);
  scrollTo(0, 0);
  shown = run(view, { root, names, parameters }, problem);
  return undefined;
}

function nowhere(found) {
  document.title = "Not there – Leveret";
  frame.show(null);
  const text = found
    ? "Your tags do not let you see this. An administrator can change them."
    : "There is no such view. The navigation above leads to all of them.";
  fill(frame.main, h("div.view", h("h1", found ? "Not for you" : "Not there"), h("p", text)));
}

// A view that is brought up to date until it is closed.
function run(view, place, problem) {
  const leaving = new AbortController();
  let timer = null;
  let isAtWork = false;
  let isWanted = false;
  const refresh = async () => {
    clearTimeout(timer);
    if (isAtWork) {
      isWanted = true;
      return;
    }
    isAtWork = true;
    isWanted = false;
    try {
      await opened.update();
      problem.clear();
    } catch (error) {
      if (!leaving.signal.aborted) {
        problem.show(error);
      }
    }
    isAtWork = false;
    if (!leaving.signal.aborted) {
      later();
    }
  };
  const later = () => {
    const seconds = refreshSeconds();
    if (isWanted) {
      refresh();
    } else if (seconds > 0 && !document.hidden) {
      timer = setTimeout(refresh, seconds * 1000);
    }
  };
  const opened = view.open({ ...place, signal: leaving.signal, refresh });
  refresh();
  return {
    refresh,
    close: () => {
      clearTimeout(timer);
      leaving.abort();
      opened.close?.();
    },
  };
}
