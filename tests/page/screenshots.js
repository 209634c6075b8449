// What does the page look like? Pictures of it for the README, of a broker that somebody uses;
// `scripts/screenshots` calls it with the directory to write them to.

import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";

import { publish, queuePath, startBroker } from "./broker.js";
import { goTo, logIn, openPage, startBrowser } from "./browser.js";
import { startExample } from "./example.js";
import { shrunk } from "./png.js";

const directory = process.argv[2];
// For so long the broker is watched before the pictures are taken: so much is on its charts.
const SECONDS = Number(process.argv[3] ?? 90);
const WIDTH = 1180;
const DEAD = "orders.dead";

// Load that comes and goes, for charts that have something to show.
const BURSTS = [
  ["--rate", "400", "--seconds", "25"],
  ["--rate", "1500", "--seconds", "20"],
  ["--rate", "700", "--seconds", "30"],
];

const DYING = numbers(4711);

const broker = await startBroker();
const browser = await startBrowser();
try {
  mkdirSync(directory, { recursive: true });
  await prepare();
  const example = await startExample(broker, 8);
  const dying = setInterval(() => publishDead(DYING.next().value), 9000);
  const load = { isWanted: true, child: null };
  const loading = keepLoading(load);
  const page = await openPage(browser, broker, { width: WIDTH });
  await page.evaluate(() => localStorage.setItem("leveret.range", JSON.stringify("10m")));
  await page.reload();
  await logIn(page, "#/queues");
  await watch(page);
  await picture(page, "overview", "#/", 760);
  await picture(page, "queue", `#/queues/%2F/${DEAD}`, 1240, browse);
  await picture(page, "exchange", "#/exchanges/%2F/shop", 1038, preview);
  clearInterval(dying);
  load.isWanted = false;
  load.child?.kill();
  await loading;
  example.stop();
} finally {
  await browser.close();
  await broker.stop();
}

function* numbers(from) {
  for (let number = from; ; number += 1) {
    yield number;
  }
}

// A queue with messages that are worth a look.
async function prepare() {
  await broker.api("PUT", queuePath(DEAD), { durable: true });
  for (let dead = 0; dead < 4; dead += 1) {
    await publishDead(DYING.next().value);
  }
}

function publishDead(order) {
  const items = [{ sku: `A-${order % 40}`, count: (order % 3) + 1 }];
  return publish(broker, DEAD, {
    payload: JSON.stringify({ order, total: (order % 190) + 0.9, currency: "EUR", items }),
    headers: { tenant: "acme", attempt: 3 },
  });
}

async function keepLoading(load) {
  const program = join(dirname(process.env.LEVERET_BIN), "leveret-bench");
  const uri = `amqp://guest:guest@127.0.0.1:${broker.amqpPort}/%2F`;
  const options = ["--uri", uri, "--quiet", "--persistent", "--confirm", "200", "--queues", "2"];
  for (let burst = 0; load.isWanted; burst += 1) {
    const more = ["--queue-prefix", "events", ...BURSTS[burst % BURSTS.length]];
    load.child = spawn(program, [...options, ...more], { stdio: "ignore" });
    await new Promise((resolve, reject) => load.child.on("exit", resolve).on("error", reject));
  }
}

// Looks at everything that is to be on a chart from the beginning: a history of one queue begins
// when somebody looks at it.
async function watch(page) {
  const until = Date.now() + SECONDS * 1000;
  while (Date.now() < until) {
    for (const hash of [`#/queues/%2F/${DEAD}`, "#/exchanges/%2F/shop", "#/queues"]) {
      await goTo(page, hash);
      await wait(3000);
    }
  }
}

async function picture(page, name, hash, height, prepareIt = async () => {}) {
  await page.setViewportSize({ width: WIDTH, height });
  await goTo(page, hash);
  await wait(3000);
  await prepareIt(page);
  await page.evaluate(() => scrollTo(0, 0));
  await page.mouse.move(0, 0);
  const png = shrunk(await page.screenshot({ animations: "disabled" }));
  writeFileSync(join(directory, `${name}.png`), png);
  console.log(`${name}.png: ${Math.round(png.length / 1024)} KiB`);
}

async function browse(page) {
  await page.getByRole("button", { name: "Browse" }).click();
  await page.locator(".message-line summary").first().click();
}

async function preview(page) {
  await page.getByLabel("Routing key").first().fill("order.paid");
  await page.locator("a.graph-node.marked").first().waitFor();
}
