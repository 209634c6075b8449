// Do the views show what is so, on every screen, to everybody?

import assert from "node:assert/strict";
import { before, test } from "node:test";

import { publish, queuePath } from "./broker.js";
import { expectNoScrolling, goTo, logIn, seriousFindings, until } from "./browser.js";
import { HOSTILE, broker, openPage, shown } from "./stage.js";

const BODY = "<script>alert('body')</script><img src=x onerror=alert(2)>";

before(async () => {
  for (const name of HOSTILE) {
    await broker.api("PUT", queuePath(name), {
      durable: true,
      arguments: { "x-max-length": 1000 },
    });
  }
  await publish(broker, HOSTILE[4], { payload: BODY, headers: { "<b>": "<i>" } });
});

const ADDRESSES = ["#/", "#/queues", `#/queues/%2F/${encodeURIComponent(HOSTILE[4])}`, "#/nowhere"];

test("an alarm is the first thing that the overview says, and goes when it is over", async () => {
  const page = await openPage();
  await logIn(page);
  const health = page.getByRole("status", { name: "Is anything wrong?" });
  await health.waitFor();
  const { vm_memory_high_watermark: usual } = await broker.api("GET", "leveret/settings");
  const limit = (of) => broker.api("PUT", "leveret/settings", { vm_memory_high_watermark: of });
  await limit({ absolute: 1 });
  await health.getByText("Memory is full: publishers are blocked").waitFor();
  await limit(usual);
  await health.getByText("Memory is full").waitFor({ state: "detached" });
  assert.deepEqual(page.mistakes, []);
});

test("a queue that grows without consumers is named, with a way to it", async () => {
  await broker.api("PUT", queuePath("stuck"), { durable: true });
  const page = await openPage();
  await logIn(page);
  const health = page.getByRole("status", { name: "Is anything wrong?" });
  const named = health.getByText("1 queue grows and nobody consumes").waitFor();
  let isNamed = false;
  named.then(
    () => {
      isNamed = true;
    },
    () => {},
  );
  while (!isNamed) {
    await publish(broker, "stuck");
  }
  await health.getByRole("link", { name: "stuck" }).first().click();
  await page.getByRole("heading", { name: "stuck", level: 1 }).waitFor();
  await page.getByText("Nobody consumes", { exact: false }).first().waitFor();
  await broker.api("DELETE", queuePath("stuck"));
  assert.deepEqual(page.mistakes, []);
});

test("a queue fills and drains on its chart", async () => {
  await broker.api("PUT", queuePath("tide"), { durable: true });
  const page = await openPage();
  await logIn(page, "#/queues/%2F/tide");
  const ready = (value) =>
    until(
      page,
      `${value} ready`,
      (wanted) => {
        const legend = [...document.querySelectorAll(".legend button")];
        const found = legend.find((button) => button.textContent.startsWith("Ready"));
        return found?.querySelector(".legend-value").textContent === wanted;
      },
      value,
    );
  await ready("0");
  await publish(broker, "tide", { number: 30 });
  await ready("30");
  await until(page, "a line that rose", () => {
    const line = document.querySelector(".plot-line.color-1")?.getAttribute("d") ?? "";
    return new Set([...line.matchAll(/ ([\d.]+)/g)].map(([, y]) => y)).size > 1;
  });
  await broker.api("DELETE", `${queuePath("tide")}/contents`);
  await ready("0");
  await broker.api("DELETE", queuePath("tide"));
  assert.deepEqual(page.mistakes, []);
});

test("any name is shown as it is, and leads to its queue", async () => {
  const page = await openPage();
  await logIn(page, "#/queues");
  for (const name of HOSTILE) {
    await goTo(page, "#/queues");
    await page.getByRole("link", { name: shown(name), exact: true }).click();
    await page.getByRole("heading", { level: 1, name: shown(name), exact: true }).waitFor();
    await page
      .getByRole("region", { name: "Settings and where they come from" })
      .getByText("max-length")
      .waitFor();
  }
  assert.deepEqual(page.mistakes, []);
});

test("a body with a script is a text", async () => {
  const page = await openPage();
  await logIn(page, ADDRESSES[2]);
  await page.getByRole("button", { name: "Browse" }).click();
  await page.locator(".message-line summary").click();
  const body = page.getByRole("region", { name: "Body" });
  assert.equal(await body.textContent(), BODY);
  await page.getByRole("button", { name: "Hex" }).click();
  assert.match(await body.textContent(), /^000000 {2}3c 73 63 72/);
  assert.equal(await page.locator("main script, main img").count(), 0);
  assert.deepEqual(page.mistakes, []);
});

test("nothing scrolls sideways on a small screen", async () => {
  const page = await openPage({ width: 360, height: 740 });
  await expectNoScrolling(page);
  await logIn(page);
  for (const address of ADDRESSES) {
    await goTo(page, address);
    await page.waitForLoadState("networkidle");
    await expectNoScrolling(page);
  }
  assert.deepEqual(page.mistakes, []);
});

for (const theme of ["light", "dark"]) {
  test(`axe finds nothing serious in ${theme} colours`, async () => {
    const page = await openPage({ theme });
    assert.deepEqual(await seriousFindings(page), [], "the login");
    await logIn(page);
    for (const address of ADDRESSES) {
      await goTo(page, address);
      await page.waitForLoadState("networkidle");
      assert.deepEqual(await seriousFindings(page), [], address);
    }
    await goTo(page, ADDRESSES[2]);
    await page.getByRole("button", { name: "Browse" }).click();
    await page.locator(".message-line summary").click();
    assert.deepEqual(await seriousFindings(page), [], "a message");
    await page.getByRole("button", { name: "Purge…" }).click();
    assert.deepEqual(await seriousFindings(page), [], "a dialog");
  });
}
