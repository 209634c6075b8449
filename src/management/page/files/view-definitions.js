// What was the node told to have, in one file; and what would such a file change?

import { get, path, postText, query } from "./api.js";
import { button, tabs, vhostField } from "./admin.js";
import { ask, commandLine } from "./dialog.js";
import { fill, h } from "./element.js";
import { field } from "./form.js";
import { command, count, name, plural } from "./format.js";
import { problemPlace } from "./notice.js";
import { badge, heading, plainTable, section, tile } from "./parts.js";
import { session } from "./session.js";

const SECTIONS = {
  users: "users",
  vhosts: "virtual hosts",
  permissions: "permissions",
  topic_permissions: "topic permissions",
  parameters: "parameters",
  global_parameters: "global parameters",
  policies: "policies",
  exchanges: "exchanges",
  queues: "queues",
  bindings: "bindings",
};

export const definitions = {
  path: "definitions",
  id: "admin",
  right: "administrator",
  title: () => "Definitions",
  open(page) {
    const told = h("span.beside");
    page.root.append(
      tabs("definitions"),
      heading("Definitions", told),
      h(
        "p.hint",
        "Users, virtual hosts, permissions, policies, parameters, exchanges, queues and bindings, ",
        "in RabbitMQ's format. Messages are not in it; hashes of passwords are.",
      ),
      h("div.columns", section("Download", downloadCard()), section("Upload", uploadCard(page))),
      page.result ?? [],
    );
    return { update: () => update(page, told) };
  },
};

async function update({ signal }, told) {
  const { object_totals: of } = await get("overview", { signal });
  fill(told, `${plural(of.queues, "queue")}, ${plural(of.exchanges, "exchange")}`);
}

const ALL = "";

const everyVhost = (text) =>
  vhostField(ALL, {
    options: [[ALL, text], ...session.vhosts.map((one) => [one, name(one)])],
  });

function downloadCard() {
  const of = everyVhost("all of the node");
  const go = h("a.button.primary", { download: "" }, "Download");
  const line = h("div");
  const draw = () => {
    const vhost = of.value();
    const day = new Date().toISOString().slice(0, 10);
    const safe = vhost === ALL ? "" : `-${vhost.replaceAll(/[^\w.-]+/g, "_")}`;
    const file = `leveret${safe}-${day}.json`;
    const from = vhost === ALL ? "definitions" : path`definitions/${vhost}`;
    go.setAttribute("href", `api/${query(from, { download: file })}`);
    go.setAttribute("download", file);
    const words = vhost === ALL ? [] : ["-p", vhost];
    fill(line, commandLine(command("export_definitions", ...words, file)));
  };
  of.control.addEventListener("change", draw);
  draw();
  return h("div.card.stack", of.element, line, h("div.buttons.start", go));
}

function uploadCard(page) {
  const into = everyVhost("as the file says");
  const file = field({ label: "File", type: "file", accept: ".json,application/json" });
  const problem = problemPlace();
  const result = h("div.stack", { role: "status", "aria-label": "What the file would change" });
  const state = { page, into, file, problem, result, text: null };
  const check = button("Look what it would change", () => dryRun(state), "primary");
  // What was found out is about another file now.
  for (const { control } of [into, file]) {
    control.addEventListener("change", () => {
      problem.clear();
      fill(result);
    });
  }
  page.result = result;
  return h(
    "div.card.stack",
    file.element,
    into.element,
    h("p.hint", "Nothing changes before you have seen what would, and said yes."),
    problem.element,
    h("div.buttons.start", check),
  );
}

const pathOf = ({ into }) =>
  into.value() === ALL ? "definitions" : path`definitions/${into.value()}`;

async function dryRun(state) {
  const { file, problem, result } = state;
  const [chosen] = file.control.files;
  problem.clear();
  fill(result);
  if (!chosen) {
    problem.show("Choose a file first.");
    return;
  }
  try {
    const text = await chosen.text();
    const found = await postText(query(pathOf(state), { dry_run: true }), text);
    fill(result, resultOf(state, { text, fileName: chosen.name, found }));
    result.scrollIntoView({ block: "nearest" });
  } catch (error) {
    const isNoJson = error.reason === "failed_to_parse_json";
    problem.show(isNoJson ? `${chosen.name} is no JSON: nothing of it can be taken in.` : error);
  }
}

function resultOf(state, { text, fileName, found }) {
  const tiles = [
    ["Added", found.added],
    ["Changed", found.changed],
    ["Unchanged", found.unchanged],
    ["Refused", found.refused_count],
  ].map(([label, number]) => {
    const one = tile(label);
    one.set(count(number));
    return one.element;
  });
  const changes = found.added + found.changed;
  const go = button(
    changes === 0 ? "Nothing to take in" : `Take in ${fileName}…`,
    () => takeIn(state, { text, fileName, found }),
    "primary",
  );
  go.disabled = changes === 0;
  return [
    h("h2", `What ${fileName} would change`),
    h("div.tiles", tiles),
    found.refused_count > 0 &&
      section(
        "Refused",
        refusedTable(found.refused, text),
        rest(found.refused_count, found.refused),
      ),
    found.items.length > 0 &&
      section("Added and changed", changesTable(found.items), rest(changes, found.items)),
    h("div.buttons.start", go),
  ];
}

const rest = (all, shown) =>
  all > shown.length && h("p.hint", `and ${count(all - shown.length)} more`);

function refusedTable(refused, text) {
  const file = JSON.parse(text);
  return plainTable(
    "Refused",
    ["Where", "Name", "Why"],
    refused.map(({ path: where, reason }) => [
      h("code", where),
      h("span.wraps", nameIn(file, where)),
      h("span.wraps", reason.trim()),
    ]),
    "Nothing is refused.",
  );
}

// The name of what stands in a file at a place such as `queues[3]`.
function nameIn(file, where) {
  const [, of, index] = /^(\w+)\[(\d+)\]$/.exec(where) ?? [];
  const item = file[of]?.[index];
  return typeof item === "object" && item !== null ? nameOf({ ...item, section: of }) : "–";
}

const changesTable = (items) =>
  plainTable(
    "Added and changed",
    ["", "Kind", "Name", "Virtual host"],
    items.map((item) => [
      badge(item.effect, item.effect === "added" ? "good" : "warn"),
      kindOf(item),
      h("span.wraps", nameOf(item)),
      item.vhost === undefined ? h("span.faint", "–") : name(item.vhost),
    ]),
    "Nothing changes.",
  );

const SINGULAR = { policies: "policy", permissions: "permissions" };

const kindOf = ({ section: of }) =>
  SINGULAR[of] ?? (of.includes("topic") ? SECTIONS[of] : (SECTIONS[of] ?? of).replace(/s$/, ""));

function nameOf(item) {
  if (item.section === "bindings") {
    const key = item.routing_key === "" ? "" : ` (${item.routing_key})`;
    return `${item.source} → ${item.destination}${key}`;
  }
  const parts = [item.user, item.component, item.name, item.exchange];
  return parts.filter((part) => part !== undefined).join(" · ");
}

async function takeIn(state, { text, fileName, found }) {
  const into = state.into.value();
  const words = into === ALL ? [] : ["-p", into];
  let outcome = null;
  const isDone = await ask({
    title: `Take in ${fileName}?`,
    text: [
      h("p", sentence(found)),
      found.changed > 0 && h("p.warn-text", "What is changed now says something else afterwards."),
    ],
    action: `Add ${count(found.added)}, change ${count(found.changed)}`,
    isDangerous: found.changed > 0,
    command: command("import_definitions", ...words, fileName),
    run: async () => {
      outcome = await apply(state, text);
    },
    done: `Took in ${fileName}.`,
  });
  if (isDone) {
    fill(
      state.result,
      h(
        `p.finding.${outcome ? "warn" : "good"}`,
        outcome ? `${fileName} was taken in, but ${outcome}` : `${fileName} was taken in.`,
      ),
    );
    state.page.refresh();
  }
}

function sentence({ added, changed, unchanged, refused_count: refused }) {
  const parts = [
    `${plural(added, "object is", "objects are")} added`,
    `${plural(changed, "is", "are")} changed`,
    `${plural(unchanged, "stays", "stay")} as it is`.replace("stay as it is", "stay as they are"),
  ];
  const left = refused > 0 ? ` ${count(refused)} that the broker refuses are left out.` : "";
  return `${parts.join(", ")}.${left}`;
}

// Takes it in; what was refused of it, or null.
async function apply(state, text) {
  try {
    await postText(pathOf(state), text);
    return null;
  } catch (error) {
    // All else is there.
    if (error.status === 400 && error.reason.includes("objects were refused")) {
      return error.reason;
    }
    throw error;
  }
}
