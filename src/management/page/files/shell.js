// What stands around every view: where can one go, which vhost is looked at, who is logged in, how
// does it look, and how often is it brought up to date?

import { fill, h } from "./element.js";
import { name } from "./format.js";
import { menu } from "./parts.js";
import { link } from "./router.js";
import { chooseVhost, may, session } from "./session.js";
import { recall, remember } from "./settings.js";

const REFRESH = [
  [1, "every 1 s"],
  [5, "every 5 s"],
  [30, "every 30 s"],
  [0, "not at all"],
];
const THEMES = [
  ["auto", "as the system"],
  ["light", "light"],
  ["dark", "dark"],
];

// How often a view is brought up to date, in seconds; 0: not at all.
export const refreshSeconds = () => recall("refresh", 5);

export function applyTheme() {
  document.documentElement.dataset.theme = recall("theme", "auto");
}

// The shell. navigation: [{ id, label, path, right }]; changed() is called when another vhost or
// interval was chosen, leave() to log out.
//
// `show(id)` marks where one is; `main` is the place of the view.
export function shell({ navigation, changed, leave }) {
  const main = h("main", { id: "main", tabindex: -1 });
  const nav = h("nav", { "aria-label": "Views" });
  const settings = settingsMenu({ changed, leave });
  const vhost = h("select", {
    "aria-label": "Virtual host",
    class: "vhost",
    onchange: (event) => {
      chooseVhost(event.target.value);
      changed();
    },
  });
  const home = h(
    "a.brand",
    { href: link([]) },
    h("img", { src: "page/icon.svg", alt: "", width: 24, height: 24 }),
    "Leveret",
  );
  const skip = h(
    "a.skip",
    {
      href: "#main",
      onclick: (event) => {
        event.preventDefault();
        main.focus();
      },
    },
    "To the content",
  );
  const header = h("header.top", home, nav, h("div.top-end", vhost, settings));
  const show = (current) => {
    const items = navigation.filter(({ right }) => may(right));
    fill(
      nav,
      items.map(({ id, label, path }) =>
        h("a", { href: link(path), "aria-current": id === current && "page" }, label),
      ),
    );
    // Where there is no room for all of them, the one that is shown is to be seen.
    nav.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
    const of = [["", "All vhosts"], ...session.vhosts.map((one) => [one, name(one)])];
    fill(
      vhost,
      of.map(([value, text]) => h("option", { value, selected: value === session.vhost }, text)),
    );
  };
  return { elements: [skip, header, main], main, show };
}

function settingsMenu({ changed, leave }) {
  const choice = (label, kept, options, then) =>
    h(
      "label.field",
      h("span.label", label),
      h(
        "select",
        {
          onchange: (event) => {
            const value = event.target.value;
            remember(kept.name, typeof kept.value === "number" ? Number(value) : value);
            then();
          },
        },
        options.map(([value, text]) =>
          h("option", { value, selected: value === kept.value }, text),
        ),
      ),
    );
  const refresh = choice("Refresh", { name: "refresh", value: refreshSeconds() }, REFRESH, changed);
  const theme = choice(
    "Colours",
    { name: "theme", value: recall("theme", "auto") },
    THEMES,
    applyTheme,
  );
  const who = h("p.who", h("strong", name(session.user)), h("span.hint", session.tags.join(", ")));
  const out = h("button", { type: "button", onclick: leave }, "Log out");
  const summary = h(
    "summary",
    { "aria-label": `Settings of ${session.user}` },
    h("span.user-name", name(session.user)),
  );
  return menu(summary, [who, refresh, theme, out], ".user");
}
