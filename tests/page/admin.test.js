// Is everything there for who looks after users, virtual hosts, policies and the node?

import assert from "node:assert/strict";
import { test } from "node:test";

import { publish, queuePath } from "./broker.js";
import { expectNoScrolling, goTo, logIn, seriousFindings, tabTo, until } from "./browser.js";
import { broker, openPage } from "./stage.js";

const ODD = 'it\'s "one" / 100% 🐇 <b>';
const PART = encodeURIComponent(ODD);
// As a shell wants it between quotes.
const SHELL = ODD.replaceAll("'", String.raw`'\''`);
const ALL = { configure: ".*", write: ".*", read: ".*" };

async function open(hash, options) {
  const page = await openPage(options);
  await logIn(page, hash, options?.user);
  return page;
}

const press = (place, name) => place.getByRole("button", { name, exact: true }).click();

const dialogOf = (page) => page.getByRole("dialog");

const lineIn = (dialog) => dialog.locator(".command code").textContent();

// The control whose label begins so: what it offers is a part of its label, too.
const controlOf = (place, label) =>
  place.locator(`label:has(> .label:text-is("${label}")) > :is(input, select)`);

// The browser notes what was refused, which some tests want; and a view may ask once more for what
// was just deleted.
function expectNoMistakes(page, ...expected) {
  const isExpected = (text) => expected.some((status) => text.includes(`status of ${status} `));
  assert.deepEqual(
    page.mistakes.filter((text) => !isExpected(text)),
    [],
  );
}

// What is asked for is gone.
const isGone = (path) => assert.rejects(broker.api("GET", path), /404/);

test("a user is made, tagged, given rights, limited and deleted, whatever the name", async () => {
  const page = await open("#/users");
  await press(page, "New user…");
  const dialog = dialogOf(page);
  await dialog.getByLabel("Name", { exact: true }).fill(ODD);
  await dialog.getByLabel("monitoring").check();
  await press(dialog, "Create user");
  await dialog.getByText("Give a password").waitFor();
  await dialog.getByLabel("Password", { exact: true }).fill("secret");
  await press(dialog, "Create user");
  await page.getByRole("heading", { level: 1, name: ODD, exact: true }).waitFor();
  await page.getByText("nobody can connect as it").waitFor();
  const of = `users/${PART}`;
  const made = await broker.api("GET", of);
  assert.deepEqual(made.tags, ["monitoring"]);

  await press(page, "Tags…");
  await dialog.getByLabel("policymaker").check();
  await dialog.getByLabel("Other tags").fill("a, b");
  await press(dialog, "Set tags");
  await page.getByText("Set the tags of").waitFor();
  const tagged = await broker.api("GET", of);
  assert.deepEqual(tagged.tags, ["monitoring", "policymaker", "a", "b"]);
  assert.equal(tagged.password_hash, made.password_hash, "the password stays");

  await press(page, "Set permissions…");
  await dialog.getByLabel("Configure").fill("");
  await dialog.getByLabel("Write").fill("(");
  await press(dialog, "Set permissions");
  await dialog.getByRole("alert").filter({ hasText: "does not compile" }).waitFor();
  await dialog.getByLabel("Write").fill("^it's");
  await press(dialog, "Set permissions");
  const rights = page.getByRole("region", { name: "Permissions", exact: true });
  await rights.getByText("^it's").waitFor();
  await press(page, "Set topic permissions…");
  await dialog.getByLabel("Write").fill("^{username}");
  await press(dialog, "Set topic permissions");
  await page.getByText("^{username}").waitFor();
  await press(page, "Limits…");
  await dialog.getByLabel("Channels").fill("7");
  await press(dialog, "Set limits");
  await page.getByText("7 channels").waitFor();
  assert.deepEqual((await broker.api("GET", of)).limits, { "max-channels": 7 });

  await press(rights, "Clear…");
  await press(dialog, "Clear permissions");
  await page.getByText("nobody can connect as it").waitFor();
  await press(page, "Delete…");
  assert.equal(await lineIn(dialog), `leveretctl delete_user 'it'\\''s "one" / 100% 🐇 <b>'`);
  await press(dialog, "Delete user");
  await page.getByRole("heading", { level: 1, name: "Users" }).waitFor();
  await isGone(of);
  expectNoMistakes(page, 400, 404);
});

test("a password is changed, and taken away", async () => {
  await broker.api("PUT", "users/locked", { password: "old", tags: "management" });
  const page = await open("#/users/locked");
  const before = (await broker.api("GET", "users/locked")).password_hash;
  await press(page, "Password…");
  await dialogOf(page).getByLabel("Password", { exact: true }).fill("new");
  assert.equal(await lineIn(dialogOf(page)), "leveretctl change_password locked");
  await press(dialogOf(page), "Set password");
  await page.getByText("Set the password of locked.").waitFor();
  const changed = await broker.api("GET", "users/locked");
  assert.notEqual(changed.password_hash, before);
  assert.deepEqual(changed.tags, ["management"]);
  await press(page, "Password…");
  await dialogOf(page).getByLabel("No password").check();
  await press(dialogOf(page), "Set password");
  await page.getByText("none: nobody logs in").waitFor();
  assert.equal((await broker.api("GET", "users/locked")).password_hash, "");
  await broker.api("DELETE", "users/locked");
  assert.deepEqual(page.mistakes, []);
});

test("a virtual host is made, described, limited, traced and protected", async () => {
  const page = await open("#/vhosts");
  await press(page, "New virtual host…");
  const dialog = dialogOf(page);
  await dialog.getByLabel("Name", { exact: true }).fill(ODD);
  await dialog.getByLabel("Description").fill("for tests");
  await dialog.getByLabel("Tags").fill("one, two");
  await dialog.getByLabel("Default queue type").selectOption("quorum");
  await dialog.getByLabel("Protected from deletion").check();
  await press(dialog, "Create virtual host");
  await page.getByRole("link", { name: ODD, exact: true }).click();
  await page.getByRole("heading", { level: 1, name: ODD, exact: true }).waitFor();
  const now = () => broker.api("GET", `vhosts/${PART}`);
  const { description, tags, default_queue_type: type, ...rest } = await now();
  assert.deepEqual([description, tags, type], ["for tests", ["one", "two"], "quorum"]);
  assert.ok(rest.protected_from_deletion && !rest.tracing);
  await press(page, "Trace…");
  await press(dialog, "Start tracing");
  await page.getByText("traced", { exact: true }).waitFor();
  assert.ok((await now()).tracing);
  await press(page, "Stop tracing…");
  await press(dialog, "Stop tracing");
  await page.getByText("traced", { exact: true }).waitFor({ state: "detached" });
  await press(page, "Limits…");
  await dialog.getByLabel("Queues").fill("5");
  await press(dialog, "Set limits");
  await page.getByText("5 queues").waitFor();
  await press(page, "Limits…");
  await dialog.getByLabel("Queues").fill("");
  await press(dialog, "Set limits");
  await page.getByText("5 queues").waitFor({ state: "detached" });
  await press(page, "Unprotect…");
  const line = ["leveretctl", "disable_vhost_protection_from_deletion", `'${SHELL}'`].join(" ");
  assert.equal(await lineIn(dialog), line);
  await press(dialog, "Cancel");
  await press(page, "Describe…");
  await dialog.getByLabel("Description").fill("other words");
  await press(dialog, "Save");
  await page.getByText("other words").waitFor();
  await press(page, "Set permissions…");
  await dialog.getByLabel("User").selectOption("guest");
  await press(dialog, "Set permissions");
  await page.getByRole("link", { name: "guest", exact: true }).waitFor();
  assert.ok((await now()).protected_from_deletion, "what is not said stays");
  assert.deepEqual(page.mistakes, []);
});

test("a virtual host goes only with its name typed and its protection taken back", async () => {
  await broker.api("PUT", "vhosts/doomed", { protected_from_deletion: true });
  await broker.api("PUT", "permissions/doomed/guest", ALL);
  for (const name of ["a", "b"]) {
    await broker.api("PUT", `queues/doomed/${name}`, { durable: true });
    await broker.api("POST", "exchanges/doomed/amq.default/publish", {
      routing_key: name,
      properties: {},
      payload: "x",
      payload_encoding: "string",
    });
  }
  const page = await open("#/vhosts/doomed");
  const dialog = dialogOf(page);
  await press(page, "Delete…");
  await dialog.getByText("2 queues").waitFor();
  await dialog.getByText("2 messages").waitFor();
  const go = dialog.getByRole("button", { name: "Delete virtual host" });
  assert.ok(await go.isDisabled());
  await dialog.getByLabel("Type doomed").fill("doomed");
  await go.click();
  await dialog.getByRole("alert").filter({ hasText: "protected from deletion" }).waitFor();
  await broker.api("GET", "vhosts/doomed");
  await page.keyboard.press("Escape");
  await press(page, "Unprotect…");
  await press(dialog, "Take protection back");
  await page.getByRole("button", { name: "Protect…", exact: true }).waitFor();
  await press(page, "Delete…");
  await dialog.getByLabel("Type doomed").fill("doomed");
  assert.equal(await lineIn(dialog), "leveretctl delete_vhost doomed");
  await go.click();
  await page.getByRole("heading", { level: 1, name: "Virtual hosts" }).waitFor();
  await isGone("vhosts/doomed");
  expectNoMistakes(page, 404, 412);
});

test("the tester says what the broker would, and which pattern decided", async () => {
  await broker.api("PUT", "users/ann", { password: "ann", tags: "" });
  await broker.api("PUT", "vhosts/other", {});
  await broker.api("PUT", "permissions/%2F/ann", { ...ALL, write: "^a🐇|^amq\\.topic$", read: "" });
  await broker.api("PUT", "topic-permissions/%2F/ann", {
    exchange: "amq.topic",
    write: "^{username}\\.",
    read: "",
  });
  const page = await open("#/permissions?user=ann&vhost=%2F");
  const asked = page.locator("main form");
  const answer = page.locator(".verdict");
  const says = async (fields, word, texts) => {
    for (const [label, value] of Object.entries(fields)) {
      const control = controlOf(asked, label);
      const isChoice = await control.evaluate((element) => element.matches("select"));
      await (isChoice ? control.selectOption(value) : control.fill(value));
    }
    await answer.waitFor({ state: "detached" });
    await press(page, "Ask the broker");
    await answer.waitFor();
    const told = await answer.textContent();
    assert.ok(told.startsWith(word), told);
    texts.forEach((text) => assert.ok(told.includes(text), `${text} in: ${told}`));
  };
  await says({ "of the name": "a🐇 b" }, "Yes", ["^a🐇|^amq\\.topic$", "There is no queue"]);
  await says({ "of the name": "b" }, "No", ["does not match b", "ACCESS_REFUSED"]);
  await says({ "do what": "read" }, "No", ["is empty, and matches nothing"]);
  const topic = { "with the": "exchange", "of the name": "amq.topic", "do what": "write" };
  await says({ ...topic, "with the routing key": "ann.x" }, "Yes", ["^ann\\."]);
  await says({ "with the routing key": "bob.x" }, "No", ['"bob.x"', "^ann\\."]);
  await says({ "in the virtual host": "other" }, "No", ["has no permissions in other"]);
  // The address leads to the same question.
  assert.match(page.url(), /user=ann.*vhost=other/);
  await broker.api("DELETE", "users/ann");
  await broker.api("DELETE", "vhosts/other");
  assert.deepEqual(page.mistakes, []);
});

test("a policy shows what it matches before it is set, is changed and deleted", async () => {
  for (const name of ["p.1", "p.2", "p.3"]) {
    await broker.api("PUT", queuePath(name), { durable: true });
  }
  const first = { pattern: "^p\\.1$", definition: { "max-length": 9 }, priority: 5 };
  await broker.api("PUT", "policies/%2F/first", first);
  const page = await open("#/policies");
  await press(page, "New policy…");
  const dialog = dialogOf(page);
  const preview = dialog.getByRole("status", { name: "What it matches" });
  await dialog.getByLabel("Name", { exact: true }).fill(ODD);
  await dialog.getByLabel("Pattern").fill("^p\\.(");
  await preview.getByText("pattern should be regular expression").waitFor();
  await dialog.getByLabel("Pattern").fill("^p\\.");
  await preview.getByText("3 queues").waitFor();
  await preview.getByText("1 of them follow another policy").waitFor();
  await preview.getByText("follows first").waitFor();
  await dialog.getByLabel("Priority").fill("6");
  await preview.getByText("follows first").waitFor({ state: "detached" });
  await dialog.getByLabel("Applies to").selectOption("exchanges");
  await preview.getByText("Matches nothing").waitFor();
  await dialog.getByLabel("Applies to").selectOption("queues");
  await isGone(`policies/%2F/${PART}`);
  await dialog.getByLabel("Definition: name").fill("max-length");
  await dialog.getByLabel("Definition: value").fill("4");
  await press(dialog, "Set policy");
  await dialog.getByRole("alert").filter({ hasText: "maximum length" }).waitFor();
  await dialog.getByLabel("Definition: type").selectOption("number");
  const line = `set_policy -p / --priority 6 --apply-to queues 'it'\\''s "one"`;
  assert.ok((await lineIn(dialog)).includes(line), await lineIn(dialog));
  await press(dialog, "Set policy");
  await page.getByText("max-length: 4").waitFor();
  assert.equal((await broker.api("GET", queuePath("p.1"))).policy, ODD);

  await press(page, ODD);
  await dialog.getByLabel("Definition: value").fill("8");
  await press(dialog, "Change policy");
  await page.getByText("max-length: 8").waitFor();
  await page.getByLabel(`Mark ${ODD}`).check();
  await press(page, "Delete…");
  await press(dialog, "Delete policy");
  await page.getByText("Deleted 1 policy.").waitFor();
  await isGone(`policies/%2F/${PART}`);
  await broker.api("DELETE", "policies/%2F/first");
  expectNoMistakes(page, 400);
});

test("an operator policy is one of its own", async () => {
  const page = await open("#/policies");
  await press(page, "New policy…");
  const dialog = dialogOf(page);
  await dialog.getByLabel("Name", { exact: true }).fill("ceiling");
  await dialog.getByLabel("Kind").selectOption("operator");
  await dialog.getByLabel("Pattern").fill(".*");
  await dialog.getByLabel("Definition: name").fill("max-length");
  await dialog.getByLabel("Definition: value").fill("1000");
  await dialog.getByLabel("Definition: type").selectOption("number");
  await press(dialog, "Set policy");
  await page.getByText("operator", { exact: true }).waitFor();
  const { definition } = await broker.api("GET", "operator-policies/%2F/ceiling");
  assert.deepEqual(definition, { "max-length": 1000 });
  await page.getByLabel("Mark ceiling").check();
  await press(page, "Delete…");
  assert.equal(await lineIn(dialog), "leveretctl clear_operator_policy -p / ceiling");
  await press(dialog, "Delete policy");
  await page.getByText("There is no policy.", { exact: false }).waitFor();
  await isGone("operator-policies/%2F/ceiling");
  assert.deepEqual(page.mistakes, []);
});

test("parameters of the node and of a virtual host are set, changed and deleted", async () => {
  const page = await open("#/parameters");
  const dialog = dialogOf(page);
  await press(page, "New parameter…");
  await dialog.getByLabel("Name").fill(ODD);
  await dialog.getByLabel("Value, as JSON").fill('{"a": ');
  await press(dialog, "Set parameter");
  await dialog.getByText("The value is no JSON").waitFor();
  await dialog.getByLabel("Value, as JSON").fill('{"a": [1]}');
  await press(dialog, "Set parameter");
  await page.getByText('{"a":[1]}').waitFor();
  assert.deepEqual((await broker.api("GET", `global-parameters/${PART}`)).value, { a: [1] });
  await press(page, "New parameter…");
  await controlOf(dialog, "Of").selectOption("shovel");
  await dialog.getByLabel("Name").fill("s");
  await dialog.getByLabel("Value, as JSON").fill("{}");
  await press(dialog, "Set parameter");
  await dialog.getByRole("alert").filter({ hasText: "src-uri" }).waitFor();
  const shovel = { "src-uri": "amqp://", "dest-uri": "amqp://", "src-queue": "q" };
  await dialog.getByLabel("Value, as JSON").fill(JSON.stringify(shovel));
  await press(dialog, "Set parameter");
  await page.getByRole("button", { name: "s", exact: true }).click();
  await dialog.getByLabel("Value, as JSON").fill(JSON.stringify({ ...shovel, "src-queue": "r" }));
  await press(dialog, "Set parameter");
  await page.getByText('"src-queue":"r"', { exact: false }).waitFor();
  await page.getByLabel("Mark all on this page").check();
  await press(page, "Delete…");
  await press(dialog, "Delete 2 parameters");
  await page.getByText("Deleted 2 parameters.").waitFor();
  await isGone(`global-parameters/${PART}`);
  await isGone("parameters/shovel/%2F/s");
  expectNoMistakes(page, 400);
});

const file = (name, text) => ({ name, mimeType: "application/json", buffer: Buffer.from(text) });

test("a file of definitions is looked at before it is taken in", async () => {
  await broker.api("PUT", "users/old", { password: "x", tags: "management" });
  const queue = (name, of) => ({ vhost: "fresh", name, durable: true, arguments: of });
  const text = JSON.stringify({
    users: [
      { name: "old", tags: "monitoring", password_hash: "" },
      { name: ODD, tags: 5 },
    ],
    vhosts: [{ name: "fresh" }],
    permissions: [{ user: "guest", vhost: "fresh", ...ALL }],
    queues: [queue(ODD, {}), queue("wrong", { "x-max-length": "many" })],
  });
  const page = await open("#/definitions");
  const chosen = page.locator("input[type=file]");
  await press(page, "Look what it would change");
  await page.getByText("Choose a file first.").waitFor();
  await chosen.setInputFiles(file("broken.json", "{"));
  await press(page, "Look what it would change");
  await page.getByText("broken.json is no JSON").waitFor();
  const before = await broker.api("GET", "definitions");
  await chosen.setInputFiles(file("some.json", text));
  await press(page, "Look what it would change");
  const refused = page.getByRole("region", { name: "Refused" });
  await refused.getByText("users[1]").waitFor();
  await refused.getByText(ODD).waitFor();
  await refused.getByText("tags has to be").waitFor();
  await refused.getByText("queues[1]").waitFor();
  const changes = page.getByRole("region", { name: "Added and changed" });
  const rows = await changes.locator("tbody tr").allTextContents();
  assert.deepEqual(rows, [
    "changeduserold–",
    "addedvirtual hostfresh–",
    "addedpermissionsguestfresh",
    `addedqueue${ODD}fresh`,
  ]);
  assert.deepEqual(await broker.api("GET", "definitions"), before, "nothing has changed yet");
  await press(page, "Take in some.json…");
  const dialog = dialogOf(page);
  await dialog.getByText("2 that the broker refuses are left out").waitFor();
  assert.equal(await lineIn(dialog), "leveretctl import_definitions some.json");
  await press(dialog, "Add 3, change 1");
  await page.getByText("2 objects were refused, all else is there").waitFor();
  await broker.api("GET", `queues/fresh/${PART}`);
  assert.deepEqual((await broker.api("GET", "users/old")).tags, ["monitoring"]);
  await broker.api("DELETE", "vhosts/fresh");
  await broker.api("DELETE", "users/old");
  expectNoMistakes(page, 400);
});

test("definitions are downloaded as they are, and come in again without a change", async () => {
  const page = await open("#/definitions");
  await until(page, "a link", () => document.querySelector("a[download]"));
  const download = page.waitForEvent("download");
  await page.getByRole("link", { name: "Download" }).click();
  const got = await download;
  assert.match(got.suggestedFilename(), /^leveret-\d{4}-\d\d-\d\d\.json$/);
  const path = await got.path();
  await page.locator("input[type=file]").setInputFiles(path);
  await press(page, "Look what it would change");
  const nothing = page.getByRole("button", { name: "Nothing to take in" });
  await nothing.waitFor();
  assert.ok(await nothing.isDisabled());
  assert.deepEqual(page.mistakes, []);
});

test("the node shows how it is, and takes other settings", async () => {
  const page = await open("#/nodes");
  await page.getByText("No alarm.").waitFor();
  const sync = page.locator("figure", { hasText: "A sync of the disk takes" });
  await sync.locator(".plot-line").waitFor({ state: "attached" });
  const dialog = dialogOf(page);
  await press(page, "Cluster name…");
  await dialog.getByLabel("Name").fill(ODD);
  await press(dialog, "Set name");
  await until(page, "its name", (name) => document.body.textContent.includes(name), ODD);
  assert.equal((await broker.api("GET", "cluster-name")).name, ODD);
  const usual = await broker.api("GET", "leveret/settings");
  await press(page, "Settings…");
  await dialog.getByLabel("Memory limit in MiB").fill("0");
  await dialog.getByLabel("Log level").selectOption("warning");
  assert.deepEqual((await lineIn(dialog)).split("\n"), [
    "leveretctl set_vm_memory_high_watermark absolute 0",
    "leveretctl set_log_level warning",
  ]);
  await press(dialog, "Set");
  await page.getByText("are used, and publishers wait").waitFor();
  const set = await broker.api("GET", "leveret/settings");
  assert.deepEqual([set.vm_memory_high_watermark, set.log_level], [{ absolute: 0 }, "warning"]);
  assert.deepEqual(set.disk_free_limit, usual.disk_free_limit, "what nobody touched stays");
  await broker.api("PUT", "leveret/settings", usual);
  await page.getByText("No alarm.").waitFor();
  assert.deepEqual(page.mistakes, []);
});

const tabsOf = (page) =>
  page.getByRole("navigation", { name: "Administration" }).getByRole("link").allTextContents();

for (const [tag, tabs, hidden] of [
  ["management", ["Virtual hosts", "Policies"], ["users", "parameters", "nodes", "vhosts/%2F"]],
  [
    "policymaker",
    ["Virtual hosts", "Policies", "Parameters"],
    ["users", "users/guest", "permissions", "definitions", "nodes"],
  ],
  ["monitoring", ["Virtual hosts", "Policies", "Node"], ["users", "definitions", "parameters"]],
]) {
  test(`what the tag ${tag} may not do is not shown`, async () => {
    await broker.api("PUT", `users/${tag}`, { password: tag, tags: tag });
    await broker.api("PUT", `permissions/%2F/${tag}`, ALL);
    const page = await open("#/vhosts", { user: tag });
    await page.getByText(/^\d+ virtual hosts?$/).waitFor();
    assert.deepEqual(await tabsOf(page), tabs);
    assert.equal(await page.getByRole("button", { name: "New virtual host…" }).count(), 0);
    await goTo(page, "#/policies");
    await page.getByText(/^\d+ polic(y|ies)$/).waitFor();
    const mayMake = await page.getByRole("button", { name: "New policy…" }).count();
    assert.equal(mayMake, tag === "policymaker" ? 1 : 0);
    if (mayMake) {
      await press(page, "New policy…");
      const kinds = dialogOf(page).getByLabel("Kind").locator("option");
      assert.deepEqual(await kinds.allTextContents(), ["policy"]);
      await page.keyboard.press("Escape");
    }
    if (tag === "monitoring") {
      await goTo(page, "#/nodes");
      await page.getByText("No alarm.").waitFor();
      assert.equal(await page.getByRole("button", { name: "Settings…" }).count(), 0);
    }
    for (const address of hidden) {
      await goTo(page, `#/${address}`);
      await page.getByRole("heading", { level: 1, name: "Not for you" }).waitFor();
    }
    await broker.api("DELETE", `users/${tag}`);
    assert.deepEqual(page.mistakes, []);
  });
}

test("the keyboard alone makes a user, and deletes it again", async () => {
  const page = await open("#/");
  await tabTo(page, "Admin", "nav a");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "Virtual hosts" }).waitFor();
  await tabTo(page, "Users", ".tabs a");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "Users" }).waitFor();
  await tabTo(page, "New user…", "button");
  await page.keyboard.press("Enter");
  await dialogOf(page).waitFor();
  await page.keyboard.type("keys");
  await page.keyboard.press("Tab");
  await page.keyboard.type("secret");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "keys" }).waitFor();
  await tabTo(page, "Delete…", "button");
  await page.keyboard.press("Enter");
  await tabTo(page, "Delete user", "dialog button");
  await page.keyboard.press("Enter");
  await page.getByText("Deleted keys.").waitFor();
  await isGone("users/keys");
  expectNoMistakes(page, 404);
});

// One of everything, so that no view is empty.
async function fillBroker() {
  await broker.api("PUT", `vhosts/${PART}`, { tags: "a,b", default_queue_type: "quorum" });
  await broker.api("PUT", `users/${PART}`, { password: "x", tags: "monitoring,other" });
  await broker.api("PUT", `permissions/%2F/${PART}`, { ...ALL, read: "" });
  await broker.api("PUT", `topic-permissions/%2F/${PART}`, {
    exchange: "amq.topic",
    write: "^{username}\\.",
    read: ".*",
  });
  await broker.api("PUT", `policies/%2F/${PART}`, {
    pattern: "^a",
    definition: { "max-length": 1, "message-ttl": 5 },
  });
  await broker.api("PUT", `global-parameters/${PART}`, { value: "x".repeat(300) });
  await publish(broker, "p.1");
}

const ADDRESSES = [
  "#/vhosts",
  `#/vhosts/${PART}`,
  "#/users",
  `#/users/${PART}`,
  `#/permissions?user=${PART}&name=q`,
  "#/policies",
  "#/parameters",
  "#/definitions",
  "#/nodes",
];

// What can be opened where; the first button that asks for something.
const OPENERS = {
  "#/vhosts": "New virtual host…",
  "#/users": "New user…",
  [ADDRESSES[3]]: "Set permissions…",
  "#/policies": "New policy…",
  "#/parameters": "New parameter…",
  "#/nodes": "Settings…",
};

async function everywhere(page, check) {
  await logIn(page);
  for (const address of ADDRESSES) {
    await goTo(page, address);
    await page.waitForLoadState("networkidle");
    if (address.startsWith("#/permissions")) {
      await press(page, "Ask the broker");
      await page.locator(".verdict").waitFor();
    }
    await check(address);
    if (OPENERS[address]) {
      await press(page, OPENERS[address]);
      await dialogOf(page).waitFor();
      await check(`the dialog of ${address}`);
      await page.keyboard.press("Escape");
    }
  }
  assert.deepEqual(page.mistakes, []);
}

test("nothing of it scrolls sideways on a small screen", async () => {
  await fillBroker();
  const page = await openPage({ width: 360, height: 740 });
  await everywhere(page, () => expectNoScrolling(page));
});

for (const theme of ["light", "dark"]) {
  test(`axe finds nothing serious in it in ${theme} colours`, async () => {
    await fillBroker();
    const page = await openPage({ theme });
    await everywhere(page, async (where) =>
      assert.deepEqual(await seriousFindings(page), [], where),
    );
  });
}
