// Does somebody who has never seen the page find the queue that is stuck, and why, within a
// minute? The broker is one that somebody uses: example.js.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { goTo, logIn } from "./browser.js";
import { FULL, STUCK, UNCONSUMED, startExample } from "./example.js";
import { broker, openPage } from "./stage.js";

const MINUTE_MS = 60_000;

let example;

before(async () => {
  example = await startExample(broker);
});
after(() => example?.stop());

// What the overview says first, of each queue that it names.
const FINDINGS = [
  {
    queue: STUCK,
    says: "1 consumer holds messages and acknowledges none",
    hint: /^20 messages unacked, no ack for \d+/,
    why: /^1 consumer holds 20 messages and has acked none for \d+/,
  },
  {
    queue: UNCONSUMED,
    says: "1 queue grows and nobody consumes",
    hint: /^\d+ messages?, [\d.]+\/s in/,
    why: /^Nobody consumes, and it grows by [\d.]+\/s\.$/,
  },
  {
    queue: FULL,
    says: "1 queue is full and refuses what is published",
    hint: /^200 messages/,
    why: /^It is full: policy short-audit allows 200 messages, and what is published is refused\.$/,
  },
];

test("the queue that is stuck is named first, one click away, and says why", async () => {
  const page = await openPage();
  page.setDefaultTimeout(MINUTE_MS);
  const began = Date.now();
  await logIn(page);
  const health = page.getByRole("status", { name: "Is anything wrong?" });
  for (const { queue, says, hint, why } of FINDINGS) {
    await goTo(page, "#/");
    const finding = health.locator(".finding", { hasText: says });
    await finding.waitFor();
    assert.match(await finding.locator("li .hint").first().textContent(), hint);
    await finding.getByRole("link", { name: queue, exact: true }).click();
    await page.getByRole("heading", { level: 1, name: queue, exact: true }).waitFor();
    const reason = health.locator(".finding strong").first();
    assert.match(await reason.textContent(), why);
  }
  const took = Date.now() - began;
  assert.ok(took < MINUTE_MS, `it took ${took} ms`);
  assert.deepEqual(page.mistakes, []);
});

test("a stuck queue shows who holds its messages, and leads to that program", async () => {
  const page = await openPage();
  page.setDefaultTimeout(MINUTE_MS);
  await logIn(page, `#/queues/%2F/${STUCK}`);
  const row = page.getByRole("region", { name: "Consumers" }).locator("tbody tr");
  await row.getByText("never", { exact: true }).waitFor();
  await row.getByText(/^none in \d+/).waitFor();
  await row.getByRole("link").click();
  const health = page.getByRole("status", { name: "Is anything wrong?" });
  await health.getByText("It holds 20 messages and acks none.").waitFor();
  await page.getByText("Its consumers have all that they may have").waitFor();
  await page.locator("dl.facts a.name").click();
  await page.getByRole("heading", { level: 1, name: "invoice-printer" }).waitFor();
  await page.getByText("php-amqplib").first().waitFor();
  assert.deepEqual(page.mistakes, []);
});

test("queues where all goes well are not complained of", async () => {
  const page = await openPage();
  await logIn(page);
  const health = page.getByRole("status", { name: "Is anything wrong?" });
  await health.locator(".finding", { hasText: "is full" }).waitFor();
  const named = await health.locator(".finding li a").allTextContents();
  assert.deepEqual(new Set(named), new Set([FULL, STUCK, UNCONSUMED]));
  assert.deepEqual(page.mistakes, []);
});
