// Who is let in by the form, and out again?

import assert from "node:assert/strict";
import { test } from "node:test";

import { goTo, logIn } from "./browser.js";
import { broker, openPage } from "./stage.js";

test("who knows the password is let in, stays so, and is let out", async () => {
  const page = await openPage();
  await logIn(page);
  await page.getByRole("heading", { name: "Overview" }).waitFor();
  await page.reload();
  await page.getByRole("heading", { name: "Overview" }).waitFor();
  const cookies = await page.context().cookies();
  assert.deepEqual(
    cookies.map(({ httpOnly, sameSite }) => [httpOnly, sameSite]),
    [[true, "Strict"]],
  );
  assert.equal(await page.evaluate(() => document.cookie), "", "no script sees the cookie");
  await page.locator(".user summary").click();
  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByLabel("Password").waitFor();
  await page.reload();
  await page.getByLabel("Password").waitFor();
  assert.deepEqual(page.mistakes, []);
});

test("a wrong password is refused in place, and says nothing of the user", async () => {
  const page = await openPage();
  for (const user of ["guest", "nobody"]) {
    await page.getByLabel("User").fill(user);
    await page.getByLabel("Password").fill("wrong");
    await page.getByRole("button", { name: "Log in" }).click();
    const text = "User and password do not fit together.";
    await page.getByRole("alert").filter({ hasText: text }).waitFor();
    assert.equal(await page.getByLabel("Password").inputValue(), "");
  }
  assert.deepEqual(page.mistakes, []);
});

test("a user that is deleted is out at once", async () => {
  await broker.api("PUT", "users/ann", { password: "ann", tags: "monitoring" });
  const page = await openPage();
  await page.getByLabel("User").fill("ann");
  await page.getByLabel("Password").fill("ann");
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("navigation").waitFor();
  await broker.api("DELETE", "users/ann");
  await page.getByLabel("Password").waitFor();
  assert.deepEqual(page.mistakes, []);
});

test("an address that RabbitMQ's page had leads to the same thing", async () => {
  await broker.api("PUT", "queues/%2F/old", {});
  const page = await openPage();
  await logIn(page, "#/queues");
  await page.getByRole("heading", { name: "Queues" }).waitFor();
  await goTo(page, "#/queues/%2F/old");
  await page.getByRole("heading", { name: "old" }).waitFor();
  assert.deepEqual(page.mistakes, []);
});
