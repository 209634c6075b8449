// Do CloudAMQP's client for JavaScript, over WebSocket and over TCP, and a page in a browser find
// the same broker?

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";

import { startBroker } from "./broker.js";
import { openPage, startBrowser } from "./browser.js";

const packages = createRequire(`${process.env.LEVERET_PAGE_PACKAGES}/package.json`);
// Before version 22 Node.js has no client of its own.
globalThis.WebSocket ??= packages("ws").WebSocket;
const { AMQPClient, AMQPSession, AMQPWebSocketClient } = packages("@cloudamqp/amqp-client");
const SCRIPT = packages
  .resolve("@cloudamqp/amqp-client")
  .replace(/lib\/.*$/, "dist/amqp-websocket-client.mjs");

const MEBIBYTE = 1 << 20;
const MANY = 10_000;

let broker;
let browser;

before(async () => {
  [broker, browser] = await Promise.all([startBroker(), startBrowser()]);
});
after(async () => {
  await browser?.close();
  await broker?.stop();
});

const webUrl = () => `${broker.url.replace("http", "ws")}ws/amqp`;
const ways = {
  WebSocket: (options = {}) => new AMQPWebSocketClient({ url: webUrl(), ...options }),
  TCP: ({ heartbeat = 0 } = {}) =>
    new AMQPClient(`amqp://guest:guest@127.0.0.1:${broker.amqpPort}?heartbeat=${heartbeat}`),
};

const pattern = (bytes) => Uint8Array.from({ length: bytes }, (_, at) => (at * 7) % 251);

for (const [way, client] of Object.entries(ways)) {
  test(`confirmed messages of every size come as they went, over ${way}`, async () => {
    const connection = await client().connect();
    const channel = await connection.channel();
    await channel.confirmSelect();
    const { name } = await channel.queueDeclare("", { exclusive: true });
    const bodies = [0, 1, 4095, 4096, 100_000, MEBIBYTE].map(pattern);
    for (const body of bodies) {
      await channel.basicPublish("", name, body, { deliveryMode: 2 });
    }
    const came = [];
    await new Promise((resolve) => {
      channel.basicConsume(name, { noAck: false }, async (message) => {
        came.push(message.body ?? new Uint8Array());
        await message.ack();
        if (came.length === bodies.length) {
          resolve();
        }
      });
    });
    bodies.forEach((body, at) => {
      assert.ok(Buffer.from(body).equals(Buffer.from(came[at])), `${body.length} bytes`);
    });
    await connection.close();
  });

  test(`ten thousand small messages come in their order, over ${way}`, async () => {
    const connection = await client().connect();
    const channel = await connection.channel();
    await channel.confirmSelect();
    const { name } = await channel.queueDeclare("", { exclusive: true });
    const publish = (_, number) => channel.basicPublish("", name, String(number));
    await Promise.all(Array.from({ length: MANY }, publish));
    let next = 0;
    await new Promise((resolve, reject) => {
      channel.basicConsume(name, { noAck: true }, (message) => {
        if (message.bodyString() !== String(next)) {
          reject(new Error(`${message.bodyString()} came instead of ${next}`));
        }
        next += 1;
        if (next === MANY) {
          resolve();
        }
      });
    });
    await connection.close();
  });

  test(`a mistake is told and costs its channel alone, over ${way}`, async () => {
    const connection = await client().connect();
    const [channel, other] = [await connection.channel(), await connection.channel()];
    await assert.rejects(channel.queueDeclare("nowhere", { passive: true }), /NOT_FOUND/);
    const { messageCount } = await other.queueDeclare("", { exclusive: true });
    assert.equal(messageCount, 0);
    await connection.close();
  });
}

test("what is published over WebSocket is consumed over TCP, and the other way round", async () => {
  const connections = await Promise.all(Object.values(ways).map((client) => client().connect()));
  const channels = await Promise.all(connections.map((connection) => connection.channel()));
  for (const [from, to] of [channels, channels.toReversed()]) {
    const { name } = await from.queueDeclare("", { exclusive: false, autoDelete: true });
    const came = new Promise((resolve) => {
      to.basicConsume(name, { noAck: true }, (message) => resolve(message.bodyString()));
    });
    await from.basicPublish("", name, "across");
    assert.equal(await came, "across");
  }
  const shown = await broker.api("GET", "connections");
  assert.deepEqual(shown.map(({ protocol }) => protocol).sort(), [
    "AMQP 0-9-1",
    "Web AMQP 0-9-1",
  ]);
  await Promise.all(connections.map((connection) => connection.close()));
});

test("a wrong password is refused in AMQP's words, and the next one is let in", async () => {
  const wrong = ways.WebSocket({ password: "wrong" });
  await assert.rejects(wrong.connect(), /ACCESS_REFUSED/);
  const connection = await ways.WebSocket().connect();
  await connection.close();
});

test("a session whose connection an operator closes connects again and goes on", async () => {
  let connected = () => {};
  const session = await AMQPSession.connect(webUrl().replace("//", "//guest:guest@"), {
    reconnectInterval: 50,
    onconnect: () => connected(),
  });
  const queue = await session.queue("sessions", { durable: true });
  const came = [];
  let more;
  await queue.subscribe(async (message) => {
    came.push(message.bodyString());
    more?.();
  });
  const wait = (count) =>
    new Promise((resolve) => {
      more = () => came.length >= count && resolve();
      more();
    });
  await queue.publish("before", { deliveryMode: 2 });
  await wait(1);
  const again = new Promise((resolve) => {
    connected = resolve;
  });
  const [{ name }] = await broker.api("GET", "connections");
  await broker.api("DELETE", `connections/${encodeURIComponent(name)}`);
  await again;
  await queue.publish("after", { deliveryMode: 2 });
  await wait(2);
  assert.deepEqual(came, ["before", "after"]);
  await session.stop();
});

test("a client over WebSocket that says nothing else sends heartbeats and stays", async () => {
  const connection = await ways.WebSocket({ heartbeat: 1 }).connect();
  const count = async () => {
    const [shown] = await broker.api("GET", "connections");
    return shown.recv_cnt;
  };
  // More than the two and a half after which one is closed that does not.
  const enough = (await count()) + 4;
  while ((await count()) < enough) {
    assert.equal(connection.closed, false);
  }
  await connection.close();
});

// The page's own policy for scripts holds: the client comes from the broker's address, and so does
// what it connects to.
test("a page of the broker's address publishes and consumes in Chromium", async () => {
  const page = await openPage(browser, broker);
  const script = readFileSync(SCRIPT, "utf8");
  await page.route("**/amqp-websocket-client.mjs", (route) =>
    route.fulfill({ contentType: "text/javascript", body: script }),
  );
  const found = await page.evaluate(
    async ({ url, count, large }) => {
      const { AMQPWebSocketClient: Client } = await import("/amqp-websocket-client.mjs");
      const connection = await new Client({ url, name: "page" }).connect();
      const channel = await connection.channel();
      await channel.confirmSelect();
      const { name } = await channel.queueDeclare("", { exclusive: true });
      const body = Uint8Array.from({ length: large }, (_, at) => (at * 7) % 251);
      const publish = (payload) => channel.basicPublish("", name, payload);
      const texts = Array.from({ length: count }, (_, at) => String(at));
      await Promise.all([...texts, body].map(publish));
      const came = [];
      await new Promise((resolve) => {
        channel.basicConsume(name, { noAck: false }, async (message) => {
          came.push(message);
          await message.ack();
          if (came.length > count) {
            resolve();
          }
        });
      });
      const last = came[count].body;
      await connection.close();
      return {
        isOrdered: texts.every((text, at) => text === came[at].bodyString()),
        isWhole: last.length === large && last.every((byte, at) => byte === body[at]),
      };
    },
    { url: webUrl(), count: 1000, large: MEBIBYTE },
  );
  assert.deepEqual(found, { isOrdered: true, isWhole: true });
  assert.deepEqual(page.mistakes, []);
});

test("a page of another site cannot connect", async () => {
  const page = await (await browser.newContext()).newPage();
  await page.route("http://elsewhere.test/", (route) =>
    route.fulfill({ contentType: "text/html", body: "<title>elsewhere</title>" }),
  );
  await page.goto("http://elsewhere.test/");
  const outcome = await page.evaluate(
    (url) =>
      new Promise((resolve) => {
        const socket = new WebSocket(url, "amqp");
        socket.onopen = () => resolve("open");
        socket.onclose = ({ code }) => resolve(code);
      }),
    webUrl(),
  );
  assert.equal(outcome, 1006);
  const shown = await broker.api("GET", "connections");
  assert.deepEqual(shown, []);
});
