// How is one virtual host, and who may do what there?

import { get, path } from "./api.js";
import { button, limitsText, tabs } from "./admin.js";
import { h } from "./element.js";
import { compact, count, name, rate } from "./format.js";
import { facts, heading, section, show, tile } from "./parts.js";
import { link } from "./router.js";
import { chooseVhost } from "./session.js";
import { setPermissions } from "./user-forms.js";
import { LIMITS, describeVhost, dropVhost, protect, setVhostLimits, trace } from "./vhost-forms.js";
import { permissionsTable } from "./view-user.js";
import { marksOf } from "./view-vhosts.js";

export const vhost = {
  path: "vhosts/:name",
  id: "admin",
  right: "administrator",
  title: (names) => names.name,
  open(page) {
    const vhostName = page.names.name;
    const state = { page, vhost: vhostName, now: null, limits: {}, users: [] };
    const changed = page.refresh;
    const gone = () => {
      location.hash = link(["vhosts"]);
    };
    const tracing = button("", () => trace(state.now, changed));
    const guard = button("", () => protect(state.now, changed));
    const grant = () => setPermissions({ vhost: vhostName, users: state.users }, changed);
    state.parts = { tracing, guard, marks: h("span.beside") };
    state.places = { facts: h("div"), permissions: h("div") };
    state.tiles = tilesOf(vhostName);
    page.root.append(
      tabs("vhosts"),
      h("a.back", { href: link(["vhosts"]) }, "Virtual hosts"),
      heading(name(vhostName), state.parts.marks, [
        button("Describe…", () => describeVhost(state.now, changed)),
        button("Limits…", () => setVhostLimits(vhostName, state.limits, changed)),
        tracing,
        guard,
        button("Delete…", () => dropVhost(vhostName, gone), "danger"),
      ]),
      h("div.tiles", state.tiles.elements),
      h("div.card", state.places.facts),
      section(
        "Permissions",
        state.places.permissions,
        h("div.buttons.start", button("Set permissions…", grant)),
      ),
    );
    return { update: () => update(state) };
  },
};

function tilesOf(vhostName) {
  // Where one goes from here is about this virtual host alone.
  const queues = tile("Queues", link(["queues"]));
  queues.element.addEventListener("click", () => chooseVhost(vhostName));
  const [ready, unacked, published, delivered] = ["Ready", "Unacked", "Published", "Delivered"].map(
    (label) => tile(label),
  );
  const update = (now) => {
    const stats = now.message_stats ?? {};
    queues.set(count(now.queues));
    ready.set(compact(now.messages_ready));
    unacked.set(compact(now.messages_unacknowledged));
    published.set(rate(stats.publish_details?.rate ?? 0), `${compact(stats.publish ?? 0)} so far`);
    delivered.set(
      rate(stats.deliver_get_details?.rate ?? 0),
      `${compact(stats.deliver_get ?? 0)} so far`,
    );
  };
  const elements = [queues, ready, unacked, published, delivered].map(({ element }) => element);
  return { elements, update };
}

const BY_USER = {
  head: "User",
  linkOf: ({ user }) => h("a.name", { href: link(["users", user]) }, name(user)),
  none: "Nobody may enter it.",
};

async function update(state) {
  const { vhost: vhostName, parts, places, page } = state;
  const { signal } = page;
  const [now, limits, permissions, users] = await Promise.all([
    get(path`vhosts/${vhostName}`, { signal }),
    get(path`vhost-limits/${vhostName}`, { signal }),
    get(path`vhosts/${vhostName}/permissions`, { signal }),
    get("users?columns=name", { signal }),
  ]);
  state.now = now;
  state.limits = limits[0]?.value ?? {};
  state.users = users.map(({ name: user }) => user);
  state.tiles.update(now);
  parts.tracing.textContent = now.tracing ? "Stop tracing…" : "Trace…";
  parts.guard.textContent = now.protected_from_deletion ? "Unprotect…" : "Protect…";
  show(parts.marks, marksOf(now));
  show(
    places.facts,
    facts([
      ["Description", now.description || h("span.faint", "none")],
      ["Limits", limitsText(LIMITS, state.limits)],
      ["Queues without a type are", now.default_queue_type.replace("undefined", "classic")],
    ]),
  );
  show(places.permissions, permissionsTable(permissions, BY_USER, page.refresh));
}
