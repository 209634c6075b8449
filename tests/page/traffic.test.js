// Do the views of connections, channels and exchanges show what is so, and do what is asked?

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { connect } from "./amqp.js";
import { publish, queuePath } from "./broker.js";
import { expectNoScrolling, goTo, logIn, seriousFindings, until } from "./browser.js";
import { HOSTILE, broker, lengthOf, openPage, shown } from "./stage.js";

let client;

const CALLED = '<b>who\'s "there"</b> / 100% 🐇';

const exchangePath = (name) => `exchanges/%2F/${encodeURIComponent(name)}`;
const bindingPath = (exchange, queue) =>
  `bindings/%2F/e/${encodeURIComponent(exchange)}/q/${encodeURIComponent(queue)}`;

before(async () => {
  for (const name of HOSTILE) {
    await broker.api("PUT", queuePath(name), { durable: true });
    await broker.api("PUT", exchangePath(name), { type: "topic", durable: true });
    await broker.api("POST", bindingPath(name, name), { routing_key: name });
  }
  client = await connect(broker.amqpPort, CALLED);
});
after(() => client?.end());

// The connection of a client by what that calls itself.
async function connectionOf(called) {
  const all = await broker.api("GET", "connections");
  return all.find(({ user_provided_name: name }) => name === called);
}

test("any name of an exchange is shown as it is, and leads to what is bound to it", async () => {
  const page = await openPage();
  await logIn(page, "#/exchanges");
  for (const name of HOSTILE) {
    await goTo(page, "#/exchanges");
    const link = { name: shown(name), exact: true };
    await page.getByRole("region", { name: "Exchanges" }).getByRole("link", link).click();
    await page.getByRole("heading", { level: 1, ...link }).waitFor();
    const leadsTo = page.getByRole("region", { name: "Bindings from here" });
    assert.equal(await leadsTo.locator("code").textContent(), name);
    await page.locator("a.graph-node").click();
    await page.getByText("Nothing is wrong.").waitFor();
    await page.getByRole("heading", { level: 1, ...link }).waitFor();
    assert.match(page.url(), /#\/queues\//);
  }
  assert.deepEqual(page.mistakes, []);
});

test("an exchange is made, bound, tried, published to, unbound and deleted by hand", async () => {
  const [name, queue] = ['x / 100% "🐇"', HOSTILE[0]];
  const page = await openPage();
  await logIn(page, "#/exchanges");
  await page.getByRole("button", { name: "New exchange…" }).click();
  const dialog = page.getByRole("dialog", { name: "New exchange" });
  await dialog.getByLabel("Name", { exact: true }).fill(name);
  await dialog.getByLabel("Type").selectOption("topic");
  await dialog.getByRole("button", { name: "Declare exchange" }).click();
  await page.getByRole("heading", { level: 1, name, exact: true }).waitFor();
  await page.getByText("Nothing is bound: whatever is published here is lost").waitFor();
  const would = page.getByRole("status", { name: "Where it would go" });
  await would.getByText("reaches no queue").waitFor();

  const bindings = page.locator("section", {
    has: page.getByRole("heading", { name: "Bindings" }),
  });
  await bindings.getByLabel("Name", { exact: true }).fill("nobody");
  await bindings.getByLabel("Routing key").fill("order.*");
  await bindings.getByRole("button", { name: "Bind", exact: true }).click();
  await bindings.getByRole("alert").getByText("nobody", { exact: false }).waitFor();
  await bindings.getByLabel("Name", { exact: true }).fill(queue);
  await bindings.getByRole("button", { name: "Bind", exact: true }).click();
  await page.locator("a.graph-node").waitFor();

  await page.getByLabel("Routing key").first().fill("mail.new");
  await would.getByText("With mail.new it reaches no queue").waitFor();
  assert.equal(await page.locator("a.graph-node.marked").count(), 0);
  await page.getByLabel("Routing key").first().fill("order.new");
  await would.getByRole("link", { name: queue }).waitFor();
  await page.locator("a.graph-node.marked").waitFor();
  assert.equal(await lengthOf(queue), 0, "looking publishes nothing");
  await page.getByRole("button", { name: "Publish", exact: true }).click();
  await page.getByText("Published a message.").waitFor();
  assert.equal(await lengthOf(queue), 1);

  await bindings.getByRole("button", { name: `Remove the binding order.* to ${queue}` }).click();
  const asked = page.getByRole("dialog", { name: `Remove the binding to ${queue}?` });
  const line = await asked.locator(".command code").textContent();
  assert.ok(line.startsWith("leveretctl delete binding "), line);
  assert.ok(line.includes("properties_key=order.%2A"), line);
  await asked.getByRole("button", { name: "Remove binding" }).click();
  await would.getByText("With order.new it reaches no queue").waitFor();

  await broker.api("POST", bindingPath(name, queue), { routing_key: "a" });
  await broker.api("POST", bindingPath(name, queue), { routing_key: "b" });
  await page.getByRole("button", { name: "Delete…" }).click();
  const last = page.getByRole("dialog", { name: `Delete ${name}?` });
  await last.getByText("The exchange goes with 2 bindings.").waitFor();
  await last.getByRole("button", { name: "Delete exchange" }).click();
  await page.getByRole("heading", { name: "Exchanges", level: 1 }).waitFor();
  await assert.rejects(broker.api("GET", exchangePath(name)), /404/);
  assert.equal(await lengthOf(queue), 1, "the queue keeps what it has");
  const mistakes = page.mistakes.filter((one) => !/404|400/.test(one));
  assert.deepEqual(mistakes, []);
});

test("headers and chance are part of where a message would go", async () => {
  await broker.api("POST", bindingPath("amq.headers", "100%"), { arguments: { kind: "bill" } });
  await broker.api("PUT", exchangePath("lottery"), { type: "x-random" });
  await broker.api("POST", bindingPath("lottery", "🐇"), { routing_key: "" });
  const page = await openPage();
  await logIn(page, "#/exchanges/%2F/amq.headers");
  const would = page.getByRole("status", { name: "Where it would go" });
  await would.getByText("reaches no queue").waitFor();
  await page.getByText("Properties and headers").click();
  await page.getByRole("group", { name: "Headers" }).getByText("+ Add").click();
  await page.getByLabel("Headers: name").fill("kind");
  await page.getByLabel("Headers: value").fill("bill");
  await would.getByRole("link", { name: "100%" }).waitFor();
  await goTo(page, "#/exchanges/%2F/lottery");
  await would.getByText("Chance decides each time").waitFor();
  await would.getByRole("link", { name: "🐇" }).waitFor();
  await goTo(page, "#/exchanges/%2F/amq.default");
  await page.getByLabel("Routing key").fill("a/b c");
  await would.getByRole("link", { name: "a/b c" }).waitFor();
  assert.equal(await page.getByRole("button", { name: "Delete…" }).count(), 0);
  assert.equal(await lengthOf("a/b c"), 0);
  assert.deepEqual(page.mistakes, []);
});

test("those that every virtual host has are left when marked exchanges are deleted", async () => {
  for (const name of ["gone.1", "gone.2"]) {
    await broker.api("PUT", exchangePath(name), { type: "fanout" });
  }
  await broker.api("POST", bindingPath("gone.1", "🐇"), { routing_key: "" });
  const page = await openPage();
  await logIn(page, "#/exchanges");
  for (const name of ["gone.1", "gone.2", "amq.fanout", "the default exchange"]) {
    await page.getByLabel(`Mark ${name}`, { exact: true }).check();
  }
  await page.getByRole("button", { name: "Delete…" }).click();
  const dialog = page.getByRole("dialog", { name: "Delete 2 exchanges?" });
  await dialog.getByText("They go with 1 binding.").waitFor();
  await dialog.getByText("2 that every virtual host has stay.").waitFor();
  await dialog.getByRole("button", { name: "Delete 2 exchanges" }).click();
  await page.getByText("Deleted 2 exchanges.").waitFor();
  const left = (await broker.api("GET", "exchanges/%2F")).map(({ name }) => name);
  assert.ok(left.includes("amq.fanout") && left.includes("") && !left.includes("gone.1"));
  assert.deepEqual(page.mistakes, []);
});

test("a connection says who it is, and why it is blocked", async () => {
  const { name } = await connectionOf(CALLED);
  const page = await openPage();
  await logIn(page, "#/connections");
  await page.getByRole("link", { name: CALLED, exact: true }).click();
  await page.getByRole("heading", { level: 1, name: CALLED, exact: true }).waitFor();
  await page.getByText(name, { exact: true }).waitFor();
  await page.getByText("test of the page").waitFor();
  const health = page.getByRole("status", { name: "Is anything wrong?" });
  await health.getByText("Nothing holds it up.").waitFor();
  const { vm_memory_high_watermark: usual } = await broker.api("GET", "leveret/settings");
  const limit = (of) => broker.api("PUT", "leveret/settings", { vm_memory_high_watermark: of });
  await limit({ absolute: 1 });
  await health.getByText("It will be blocked when it publishes: memory is full.").waitFor();
  client.publish("", "🐇");
  await health.getByText("It is blocked: memory is full.").waitFor();
  await limit(usual);
  await health.getByText("Nothing holds it up.").waitFor();
  assert.deepEqual(page.mistakes, []);
});

test("connections are found by whatever is known of them, as one types", async () => {
  const others = await Promise.all([
    connect(broker.amqpPort, "Weasel", "Burrow"),
    connect(broker.amqpPort, "Stoat", "Burrow"),
  ]);
  const page = await openPage();
  await logIn(page, "#/connections");
  const { name } = await connectionOf("Stoat");
  const rows = page.getByRole("region", { name: "Connections" }).locator("tbody tr:not(.none)");
  const found = async (text, expected) => {
    await page.getByPlaceholder("Filter by user, client").fill(text);
    await page.waitForURL((url) =>
      decodeURIComponent(url.hash.replaceAll("+", " ")).endsWith(text),
    );
    for (const one of expected) {
      await rows.getByRole("link", { name: one, exact: true }).waitFor();
    }
    await until(
      page,
      `${expected} for ${text}`,
      (many) => document.querySelectorAll("tbody tr:not(.none)").length === many,
      expected.length,
    );
  };
  await found("weasel", ["Weasel"]);
  await found("BURROW", ["Weasel", "Stoat"]);
  await found(name, ["Stoat"]);
  await found("guest", [CALLED, "Weasel", "Stoat"]);
  await found("nobody's", []);
  others.forEach((one) => one.end());
  assert.deepEqual(page.mistakes, []);
});

test("a connection is closed with the reason that was given, and no other", async () => {
  const [one, other] = await Promise.all([
    connect(broker.amqpPort, "one"),
    connect(broker.amqpPort, "other"),
  ]);
  const { name } = await connectionOf("one");
  const page = await openPage();
  await logIn(page, `#/connections/${encodeURIComponent(name)}`);
  await page.getByRole("heading", { level: 1, name: "one" }).waitFor();
  await page.getByRole("button", { name: "Close…" }).click();
  const dialog = page.getByRole("dialog", { name: "Close one?" });
  await dialog.getByText("1 channel and their consumers end", { exact: false }).waitFor();
  await dialog.getByLabel("Reason").fill("it's – 🐇");
  const line = await dialog.locator(".command code").textContent();
  assert.equal(line, String.raw`leveretctl close_connection '${name}' 'it'\''s – 🐇'`);
  await dialog.getByRole("button", { name: "Close connection" }).click();
  await page.getByRole("heading", { level: 1, name: "Connections" }).waitFor();
  assert.match(await one.closed, /it's – 🐇/);
  await page.getByRole("link", { name: "one", exact: true }).waitFor({ state: "detached" });
  assert.ok(await connectionOf("other"), "the other stays");
  other.end();
  assert.deepEqual(page.mistakes, []);
});

test("a channel that holds messages and acks none is told, and leads to its queue", async () => {
  await broker.api("PUT", queuePath("held"), { durable: true });
  await publish(broker, "held", { number: 3 });
  const holder = await connect(broker.amqpPort, "holder");
  await holder.hold("held", "hold er", 2);
  const page = await openPage();
  await logIn(page, "#/queues/%2F/held");
  const { name } = await connectionOf("holder");
  await page.getByRole("link", { name: "holder (1)", exact: true }).click();
  await page.getByRole("heading", { level: 1, name: `${name} (1)` }).waitFor();
  const health = page.getByRole("status", { name: "Is anything wrong?" });
  await health.getByText("It holds 2 messages and acks none.").waitFor();
  const consumers = page.getByRole("region", { name: "Consumers" });
  await consumers.getByText("hold er").waitFor();
  await page.getByRole("link", { name, exact: true }).click();
  await page.getByRole("heading", { level: 1, name: "holder" }).waitFor();
  await page.getByRole("link", { name: "Channel 1" }).click();
  await consumers.getByRole("link", { name: "held" }).click();
  await page.getByRole("heading", { level: 1, name: "held" }).waitFor();
  holder.end();
  assert.deepEqual(page.mistakes, []);
});

test("the overview leads to connections, channels and exchanges", async () => {
  const page = await openPage();
  await logIn(page);
  for (const view of ["Connections", "Channels", "Exchanges"]) {
    await goTo(page, "#/");
    await page.locator("a.tile", { hasText: view }).click();
    await page.getByRole("heading", { level: 1, name: view }).waitFor();
  }
  assert.deepEqual(page.mistakes, []);
});

async function addresses() {
  const { name } = await connectionOf(CALLED);
  return [
    "#/connections",
    `#/connections/${encodeURIComponent(name)}`,
    "#/channels",
    `#/channels/${encodeURIComponent(`${name} (1)`)}`,
    "#/exchanges",
    `#/exchanges/%2F/${encodeURIComponent(HOSTILE[4])}`,
    "#/exchanges/%2F/amq.default",
  ];
}

test("no view of traffic scrolls sideways on a small screen", async () => {
  const page = await openPage({ width: 360, height: 740 });
  await logIn(page);
  for (const address of await addresses()) {
    await goTo(page, address);
    await page.waitForLoadState("networkidle");
    await expectNoScrolling(page);
  }
  assert.deepEqual(page.mistakes, []);
});

for (const theme of ["light", "dark"]) {
  test(`axe finds nothing serious about traffic in ${theme} colours`, async () => {
    const page = await openPage({ theme });
    await logIn(page);
    for (const address of await addresses()) {
      await goTo(page, address);
      await page.waitForLoadState("networkidle");
      assert.deepEqual(await seriousFindings(page), [], address);
    }
    await goTo(page, "#/exchanges");
    await page.getByRole("button", { name: "New exchange…" }).click();
    assert.deepEqual(await seriousFindings(page), [], "a dialog");
  });
}

test("the keyboard alone goes along the graph from an exchange to its queue", async () => {
  const page = await openPage();
  await logIn(page, exchangePath("🐇").replace("exchanges", "#/exchanges"));
  await page.locator("a.graph-node").waitFor();
  const isThere = () => document.activeElement.matches("a.graph-node");
  for (let pressed = 0; !(await page.evaluate(isThere)); pressed += 1) {
    assert.ok(pressed < 60, "the keyboard does not lead to the graph");
    await page.keyboard.press("Tab");
  }
  await page.keyboard.press("Enter");
  await page.waitForURL(/#\/queues\//);
  await page.getByRole("heading", { level: 1, name: "🐇" }).waitFor();
  assert.deepEqual(page.mistakes, []);
});
