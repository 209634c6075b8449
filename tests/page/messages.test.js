// Does what somebody does with chosen messages happen to those, and to no others?

import assert from "node:assert/strict";
import { test } from "node:test";

import { publish, queuePath } from "./broker.js";
import { logIn, until } from "./browser.js";
import { broker, openPage } from "./stage.js";

async function bodies(name) {
  const shown = await broker.api("GET", `${queuePath(name)}/browse`);
  return shown.map(({ payload }) => payload);
}

// A queue with these messages, opened and browsed.
async function browse(name, payloads) {
  await broker.api("PUT", queuePath(name), { durable: true });
  for (const payload of payloads) {
    await publish(broker, name, { payload, headers: { first: payload[0] } });
  }
  const page = await openPage();
  await logIn(page, `#/queues/%2F/${encodeURIComponent(name)}`);
  await page.getByRole("button", { name: "Browse" }).click();
  await shows(page, payloads.length);
  return page;
}

const shows = (page, number) =>
  until(
    page,
    `${number} messages`,
    (wanted) => document.querySelectorAll(".message-row").length === wanted,
    number,
  );

const mark = (page, position) =>
  page.getByLabel(`Mark the message at position ${position}`).check();

test("messages are found by their body, their header and from the end", async () => {
  const page = await browse("find", ["apple", "banana", "cherry", "avocado"]);
  await page.getByLabel("Body contains").fill("an");
  await page.getByRole("button", { name: "Browse" }).click();
  await shows(page, 1);
  await page.getByLabel("Body contains").fill("");
  await page.getByLabel("Header", { exact: true }).fill("first:a");
  await page.getByRole("button", { name: "Browse" }).click();
  await shows(page, 2);
  await page.getByLabel("Body contains").fill("nothing like it");
  await page.getByRole("button", { name: "Browse" }).click();
  await page.getByText("None of the 4 messages that were looked at fits.").waitFor();
  assert.equal((await bodies("find")).length, 4);
  assert.deepEqual(page.mistakes, []);
});

test("chosen messages are moved, copied and deleted, and no others", async () => {
  await broker.api("PUT", queuePath("to / here"), { durable: true });
  const page = await browse("from", ["a", "b", "c", "d"]);
  await mark(page, 1);
  await page.getByRole("button", { name: "Move…" }).click();
  await page.getByRole("dialog").getByLabel("Name").fill("to / here");
  await page.getByRole("dialog").getByRole("button", { name: "Move" }).click();
  await shows(page, 3);
  assert.deepEqual([await bodies("from"), await bodies("to / here")], [["a", "c", "d"], ["b"]]);
  await page.locator(".message-row input").first().check();
  await page.getByRole("button", { name: "Copy…" }).click();
  await page.getByRole("dialog").getByLabel("Name").fill("to / here");
  await page.getByRole("dialog").getByRole("button", { name: "Copy", exact: true }).click();
  await page.getByRole("dialog").waitFor({ state: "detached" });
  assert.deepEqual(
    [await bodies("from"), await bodies("to / here")],
    [
      ["a", "c", "d"],
      ["b", "a"],
    ],
  );
  await page.locator(".message-row input").last().check();
  await page.locator(".browser .table-bar").getByRole("button", { name: "Delete…" }).click();
  await page.getByRole("button", { name: "Delete 1 message" }).click();
  await shows(page, 2);
  assert.deepEqual(await bodies("from"), ["a", "c"]);
  assert.deepEqual(page.mistakes, []);
});

test("a target that is not there moves nothing, and is said to be missing", async () => {
  const page = await browse("stay", ["a"]);
  await mark(page, 0);
  await page.getByRole("button", { name: "Move…" }).click();
  await page.getByRole("dialog").getByLabel("Name").fill("nowhere");
  await page.getByRole("dialog").getByRole("button", { name: "Move" }).click();
  await page.getByRole("dialog").getByRole("alert").waitFor();
  assert.deepEqual(await bodies("stay"), ["a"]);
  assert.deepEqual(
    page.mistakes.filter((text) => !text.includes("404")),
    [],
  );
});

test("a dead letter goes back to where it died", async () => {
  await broker.api("PUT", queuePath("dead"), { durable: true });
  const dlx = { "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead" };
  await broker.api("PUT", queuePath("alive"), { durable: true, arguments: dlx });
  await publish(broker, "alive", { payload: "phoenix" });
  await broker.api("POST", `${queuePath("alive")}/get`, {
    count: 1,
    ackmode: "reject_requeue_false",
    encoding: "auto",
  });
  const page = await openPage();
  await logIn(page, "#/queues/%2F/dead");
  await page.getByRole("button", { name: "Browse" }).click();
  await page.getByText("dead: rejected").waitFor();
  await page.locator(".message-row input").check();
  await page.getByRole("button", { name: "Back to where they died…" }).click();
  await page.getByRole("button", { name: "Send back" }).click();
  await page.getByText("Sent 1 message back.").waitFor();
  assert.deepEqual([await bodies("dead"), await bodies("alive")], [[], ["phoenix"]]);
  assert.deepEqual(page.mistakes, []);
});
