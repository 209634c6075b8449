// Is everything done that somebody says, and nothing that nobody said?

import assert from "node:assert/strict";
import { test } from "node:test";

import { publish, queuePath } from "./broker.js";
import { goTo, logIn, tabTo, until } from "./browser.js";
import { broker, lengthOf, openPage } from "./stage.js";

test("the keyboard alone logs in, finds a queue and purges it", async () => {
  await broker.api("PUT", queuePath("keys"), { durable: true });
  await publish(broker, "keys", { number: 3 });
  const page = await openPage();
  await page.getByLabel("User").waitFor();
  await page.keyboard.type("guest");
  await page.keyboard.press("Tab");
  await page.keyboard.type("guest");
  await page.keyboard.press("Enter");
  await page.getByRole("navigation").waitFor();
  await tabTo(page, "Queues", "nav a");
  await page.keyboard.press("Enter");
  await page.getByRole("link", { name: "keys", exact: true }).waitFor();
  await tabTo(page, "keys", "td a");
  await page.keyboard.press("Enter");
  await page.getByText("3 messages wait", { exact: false }).waitFor();
  await tabTo(page, "Purge…", "button");
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog", { name: "Purge keys?" });
  await dialog.waitFor();
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  assert.equal(await lengthOf("keys"), 3, "Escape is no yes");
  await tabTo(page, "Purge…", "button");
  await page.keyboard.press("Enter");
  await dialog.waitFor();
  await tabTo(page, "Purge 3 messages", "button");
  await page.keyboard.press("Enter");
  await page.getByText("Purged keys.").waitFor();
  assert.equal(await lengthOf("keys"), 0);
  assert.deepEqual(page.mistakes, []);
});

test("what destroys names what goes, and the line of leveretctl", async () => {
  const name = "it's 100% <b>";
  await broker.api("PUT", queuePath(name), { durable: true });
  await publish(broker, name, { number: 2 });
  const page = await openPage();
  await logIn(page, `#/queues/%2F/${encodeURIComponent(name)}`);
  await page.getByText("2 messages wait", { exact: false }).waitFor();
  await page.getByRole("button", { name: "Delete…" }).click();
  const dialog = page.getByRole("dialog", { name: `Delete ${name}?` });
  await dialog.getByText("with 2 messages").waitFor();
  const line = await dialog.locator(".command code").textContent();
  assert.equal(line, String.raw`leveretctl delete_queue -p / 'it'\''s 100% <b>'`);
  await dialog.getByRole("button", { name: "Delete queue" }).click();
  await page.getByRole("heading", { name: "Queues", level: 1 }).waitFor();
  await assert.rejects(broker.api("GET", queuePath(name)), /404/);
  assert.deepEqual(page.mistakes, []);
});

test("a large queue is deleted only by who types its name", async () => {
  await broker.api("PUT", queuePath("large"), { durable: true });
  await publish(broker, "large", { number: 1000 });
  const page = await openPage();
  await logIn(page, "#/queues/%2F/large");
  await page.getByText("1,000 messages wait", { exact: false }).waitFor();
  await page.getByRole("button", { name: "Delete…" }).click();
  const button = page.getByRole("dialog").getByRole("button", { name: "Delete queue" });
  assert.ok(await button.isDisabled());
  await page.getByLabel("Type large").fill("larg");
  assert.ok(await button.isDisabled());
  await page.getByLabel("Type large").fill("large");
  await button.click();
  await page.getByRole("heading", { name: "Queues", level: 1 }).waitFor();
  await assert.rejects(broker.api("GET", queuePath("large")), /404/);
  assert.deepEqual(page.mistakes, []);
});

test("many queues are marked, purged and deleted at once, and no others", async () => {
  for (const name of ["many.1", "many.2", "many.3", "other"]) {
    await broker.api("PUT", queuePath(name), { durable: true });
    await publish(broker, name);
  }
  const page = await openPage();
  await logIn(page, "#/queues");
  await page.getByPlaceholder("Filter by name").fill("many");
  await until(page, "three rows", () => document.querySelectorAll("td.mark").length === 3);
  await page.getByLabel("Mark all on this page").check();
  await page.getByRole("button", { name: "Purge…" }).click();
  await page.getByRole("button", { name: "Purge 3 messages" }).click();
  await page.getByText("Purged 3 queues.").waitFor();
  assert.deepEqual(
    await Promise.all(["many.1", "many.2", "many.3", "other"].map(lengthOf)),
    [0, 0, 0, 1],
  );
  await page.getByLabel("Mark many.2").check();
  await page.getByRole("button", { name: "Delete…" }).click();
  await page.getByRole("button", { name: "Delete 1 queue" }).click();
  await page.getByText("Deleted 1 queue.").waitFor();
  const left = (await broker.api("GET", "queues?columns=name")).map(({ name }) => name);
  assert.ok(left.includes("many.1") && left.includes("many.3") && !left.includes("many.2"));
  assert.deepEqual(page.mistakes, []);
});

test("a queue is declared, published to, browsed and read by hand", async () => {
  const page = await openPage();
  await logIn(page, "#/queues");
  await page.getByRole("button", { name: "New queue…" }).click();
  const dialog = page.getByRole("dialog", { name: "New queue" });
  await dialog.getByLabel("Name", { exact: true }).fill("by hand");
  await dialog.getByRole("button", { name: "+ Add" }).click();
  await dialog.getByLabel("Arguments: name").fill("x-max-length");
  await dialog.getByLabel("Arguments: value").fill("ten");
  await dialog.getByLabel("Arguments: type").selectOption("number");
  await dialog.getByRole("button", { name: "Declare queue" }).click();
  await dialog.getByText("'ten' is no number").waitFor();
  await dialog.getByLabel("Arguments: value").fill("10");
  await dialog.getByRole("button", { name: "Declare queue" }).click();
  await page.getByRole("heading", { name: "by hand", level: 1 }).waitFor();
  assert.deepEqual((await broker.api("GET", queuePath("by hand"))).arguments, {
    "x-max-length": 10,
  });
  await page.getByLabel("Body", { exact: true }).fill('{"answer": 42}');
  await page.getByText("Properties and headers").click();
  await page.getByLabel("Content type").fill("application/json");
  await page.getByRole("button", { name: "Publish", exact: true }).click();
  await page.getByText("Published a message.").waitFor();
  await page.getByRole("button", { name: "Browse" }).click();
  await page.locator(".message-line summary").click();
  await page.getByText("application/json", { exact: true }).waitFor();
  assert.equal(
    await page.getByRole("region", { name: "Body" }).textContent(),
    '{\n  "answer": 42\n}',
  );
  assert.equal(await lengthOf("by hand"), 1, "browsing takes nothing");
  await page.getByLabel("What becomes of them").selectOption("ack_requeue_false");
  await page.getByRole("button", { name: "Get", exact: true }).click();
  await page.getByRole("button", { name: "Take 1 message" }).click();
  await until(page, "it was taken", () => document.querySelectorAll(".message-line").length === 2);
  assert.equal(await lengthOf("by hand"), 0);
  assert.deepEqual(page.mistakes, []);
});

test("what is gone is said to be gone", async () => {
  await broker.api("PUT", queuePath("brief"), { durable: true });
  const page = await openPage();
  await logIn(page, "#/queues/%2F/brief");
  await page.getByRole("button", { name: "Purge…" }).click();
  await broker.api("DELETE", queuePath("brief"));
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("button", { name: "Purge 0 messages" }).click();
  await dialog.getByRole("alert").filter({ hasText: "it is gone, or was renamed" }).waitFor();
  await goTo(page, "#/queues");
  await page.getByRole("dialog").waitFor({ state: "detached" });
});
