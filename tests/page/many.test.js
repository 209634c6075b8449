// Is the list of queues as good with 100,000 of them as with ten? It shows a page of them, whatever
// is asked for.

import assert from "node:assert/strict";
import { before, test } from "node:test";

import { publish } from "./broker.js";
import { logIn, until } from "./browser.js";
import { broker, openPage } from "./stage.js";

const QUEUES = 100_000;
const ROWS = 100;

const queueName = (number) => `queue.${String(number).padStart(6, "0")}`;

before(async () => {
  const queues = Array.from({ length: QUEUES }, (_, number) => ({
    name: queueName(number),
    vhost: "/",
    durable: true,
    auto_delete: false,
    arguments: {},
  }));
  await broker.api("POST", "definitions", { queues });
  await publish(broker, queueName(77_777), { number: 3 });
  await publish(broker, queueName(1_234), { number: 2 });
});

// What stands in the rows: no more of them than fit on a page.
async function rows(page, what, first, many) {
  await until(
    page,
    `${many} rows from ${first}: ${what}`,
    ([name, number]) => {
      const names = [...document.querySelectorAll("tbody a.name")];
      return names.length === number && (names[0]?.textContent ?? null) === name;
    },
    [first, many],
  );
  assert.equal(await page.locator("tbody tr").count(), Math.max(many, 1), what);
}

const found = (page, text) => page.locator(".found").getByText(text, { exact: true }).waitFor();

const header = (page, name) => page.locator("th").getByRole("button", { name }).click();

const press = (page, name) => page.getByRole("button", { name, exact: true }).click();

test("100,000 queues are shown, filtered, sorted and paged through, a page at a time", async () => {
  const page = await openPage();
  await logIn(page, "#/queues");
  await rows(page, "by name", queueName(0), ROWS);
  await found(page, "100,000 queues");

  const filter = page.getByPlaceholder("Filter by name");
  await filter.pressSequentially("777");
  await rows(page, "as somebody types", queueName(777), ROWS);
  await filter.pressSequentially("77");
  await rows(page, "and goes on", queueName(77_777), 1);
  await found(page, "1 of 100,000 queues");
  await filter.fill("none like it");
  await rows(page, "none", null, 0);
  await filter.fill("");
  await rows(page, "all again", queueName(0), ROWS);

  await header(page, "Ready");
  await rows(page, "by messages", queueName(77_777), ROWS);
  assert.equal(await page.locator("tbody a.name").nth(1).textContent(), queueName(1_234));
  await header(page, "Name");
  await rows(page, "by name again", queueName(0), ROWS);
  await press(page, "Last");
  await rows(page, "the last page", queueName(QUEUES - ROWS), ROWS);
  await page.locator(".pager").getByText("99,901–100,000 of 100,000").waitFor();
  await press(page, "Previous");
  await rows(page, "the one before", queueName(QUEUES - 2 * ROWS), ROWS);
  await header(page, "Name");
  await rows(page, "from the end", queueName(QUEUES - 1), ROWS);
  assert.deepEqual(page.mistakes, []);
});

test("all of a page of 100,000 queues are marked, purged and deleted, and no others", async () => {
  const page = await openPage();
  await logIn(page, "#/queues?name=queue.0777");
  await rows(page, "those of a name", queueName(77_700), ROWS);
  await page.getByLabel("Mark all on this page").check();
  await page.locator(".table-bar").getByText("100 marked").waitFor();
  await press(page, "Purge…");
  await press(page, "Purge 3 messages");
  await page.getByText("Purged 100 queues.").waitFor();
  await page.getByLabel("Mark all on this page").check();
  await press(page, "Delete…");
  await press(page, "Delete 100 queues");
  await page.getByText("Deleted 100 queues.").waitFor();
  await rows(page, "none is left", null, 0);
  const { object_totals: totals } = await broker.api("GET", "overview");
  assert.equal(totals.queues, QUEUES - ROWS);
  const left = await broker.api("GET", `queues/%2F/${queueName(1_234)}`);
  assert.equal(left.messages, 2, "nobody else's messages are gone");
  assert.deepEqual(page.mistakes, []);
});

test("the overview of 100,000 queues says what is wrong with one of them", async () => {
  const page = await openPage();
  await logIn(page);
  const health = page.getByRole("status", { name: "Is anything wrong?" });
  await health.getByRole("link", { name: queueName(1_234), exact: true }).waitFor();
  await page.locator("a.tile", { hasText: "Queues" }).getByText("99,900").waitFor();
  assert.deepEqual(page.mistakes, []);
});
