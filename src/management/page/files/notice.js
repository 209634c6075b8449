// How is somebody told what happened? Errors stand where they arose, and stay; what went well is
// said at the edge, and goes. Both are read out.

import { fill, h } from "./element.js";

const SHOWN_MS = 6000;
const SHOWN_MAX = 4;

const region = h("div.notices", { role: "status", "aria-live": "polite" });

// Where notices appear; the page puts it at its end, and into a dialog while one is open.
export function noticeRegion() {
  return region;
}

// Says that something was done.
export function notify(text) {
  const close = () => notice.remove();
  const button = h(
    "button.quiet",
    { type: "button", "aria-label": "Dismiss", onclick: close },
    "×",
  );
  const notice = h("div.notice", h("span", text), button);
  region.append(notice);
  while (region.children.length > SHOWN_MAX) {
    region.firstElementChild.remove();
  }
  setTimeout(close, SHOWN_MS);
}

// A place for an error: `show(error)` and `clear()`.
export function problemPlace() {
  const element = h("div.problem", { role: "alert", hidden: true });
  const clear = () => {
    element.hidden = true;
    fill(element);
  };
  const show = (error) => {
    const text = error?.message ?? String(error);
    if (element.hidden || element.textContent !== text) {
      element.hidden = false;
      fill(element, text);
    }
  };
  return { element, show, clear };
}
