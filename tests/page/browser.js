// Who looks? Debian's Chromium without a window, and somebody who logs in.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

// The packages lie in the target directory, where scripts/test installed them.
const packages = createRequire(`${process.env.LEVERET_PAGE_PACKAGES}/package.json`);
const { chromium } = packages("playwright-core");
const axe = readFileSync(packages.resolve("axe-core/axe.min.js"), "utf8");

const OPTIONS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export const startBrowser = () =>
  chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: OPTIONS });

const opened = new Set();

// Closes all pages that were opened.
export async function closePages() {
  await Promise.all([...opened].map((context) => context.close()));
  opened.clear();
}

// A page of a browser that knows nobody, which looks every second. What goes wrong in it is in
// `page.mistakes`, and every request to another host, too.
export async function openPage(
  browser,
  broker,
  { width = 1280, height = 900, theme = "light" } = {},
) {
  const context = await browser.newContext({
    viewport: { width, height },
    colorScheme: theme,
    reducedMotion: "reduce",
  });
  opened.add(context);
  await context.addInitScript(() => localStorage.setItem("leveret.refresh", "1"));
  const page = await context.newPage();
  page.mistakes = [];
  page.on("pageerror", (error) => page.mistakes.push(String(error)));
  page.on("dialog", (dialog) => {
    page.mistakes.push(`a window: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("console", (message) => {
    // A refused login is one.
    if (message.type() === "error" && !message.text().includes("401")) {
      page.mistakes.push(message.text());
    }
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(broker.url)) {
      page.mistakes.push(`asked for ${request.url()}`);
    }
  });
  await page.goto(broker.url);
  return page;
}

// Logs in, and goes to an address of the page.
export async function logIn(page, hash = "#/", user = "guest") {
  await page.getByLabel("User").fill(user);
  await page.getByLabel("Password").fill(user);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("navigation").waitFor();
  await goTo(page, hash);
}

export async function goTo(page, hash) {
  await page.goto(new URL(hash, page.url()).href);
  await page.getByRole("heading", { level: 1 }).waitFor();
}

// Waits until something is so in the page.
export async function until(page, what, is, argument) {
  await page.waitForFunction(is, argument, { timeout: 20_000 }).catch((error) => {
    throw new Error(`${what}: ${error.message}`);
  });
}

// What axe finds that is serious.
export async function seriousFindings(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => axe.run());
  const serious = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
  return serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" | ")}`);
}

// Checks that the page is not wider than its window.
export async function expectNoScrolling(page) {
  const [wide, window] = await page.evaluate(() => [
    document.documentElement.scrollWidth,
    innerWidth,
  ]);
  assert.ok(wide <= window, `${page.url()}: ${wide} px in a window of ${window} px`);
}

// Presses a key until something has the focus; how somebody finds it who has no mouse.
export async function tabTo(page, name, role) {
  for (let pressed = 0; pressed < 80; pressed += 1) {
    const found = await page.evaluate(
      ([wanted, kind]) => {
        const at = document.activeElement;
        const text = at.getAttribute("aria-label") ?? at.labels?.[0]?.textContent ?? at.textContent;
        return text.trim() === wanted && at.matches(kind);
      },
      [name, role],
    );
    if (found) {
      return;
    }
    await page.keyboard.press("Tab");
  }
  throw new Error(`the keyboard does not lead to '${name}'`);
}
