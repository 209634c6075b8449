// What does a broker look like that somebody uses? A shop: twenty queues, programs that publish and
// consume, and the three things that go wrong most often.

import { connect } from "./amqp.js";
import { queuePath } from "./broker.js";

// Its consumer took what it may have and acknowledges none of it.
export const STUCK = "invoices.print";
// Its consumer was never started.
export const UNCONSUMED = "mail.newsletter";
// It is as long as a policy allows.
export const FULL = "audit.trail";

const STUCK_PREFETCH = 20;
const FULL_LENGTH = 200;

// Queues that have a consumer who does its work, with the keys that lead there.
const BUSY = {
  "orders.incoming": "order.new",
  "orders.paid": "order.paid",
  "orders.shipped": "order.shipped",
  "mail.receipts": "mail.receipt",
  "images.resize": "image.new",
  "search.index": "product.changed",
  "stock.levels": "stock.#",
};

// Those where nothing happens; every third has a consumer that waits.
const CALM = [
  "images.originals",
  "mail.bounced",
  "payments.captured",
  "payments.refunds",
  "reports.nightly",
  "sessions.expired",
  "stock.alerts",
  "webhooks.github",
  "webhooks.retry",
];

const DEAD = "orders.dead";

// So often something is published.
const TICK_MS = 100;

// Makes it, and lets it run until `stop` is called. perTick: how many orders come ten times a
// second.
export async function startExample(broker, perTick = 5) {
  await declare(broker);
  const clients = [];
  const client = async (name, product) => {
    clients.push(await connect(broker.amqpPort, name, product));
    return clients.at(-1);
  };
  for (const queue of Object.keys(BUSY)) {
    const worker = await client(`${queue.split(".")[0]}-worker`, "pika");
    await worker.work(queue, `${queue}-1`, 100);
  }
  for (const queue of CALM.filter((_, index) => index % 3 === 0)) {
    const worker = await client(`${queue.split(".")[0]}-worker`, "amqplib");
    await worker.work(queue, `${queue}-1`, 10);
  }
  const printer = await client("invoice-printer", "php-amqplib");
  const shop = await client("shop", "RabbitMQ Java client");
  for (let sent = 0; sent < FULL_LENGTH; sent += 1) {
    shop.publish("", FULL, JSON.stringify({ user: `user-${sent}`, action: "login" }));
  }
  await printer.hold(STUCK, "printer-1", STUCK_PREFETCH);
  let order = 1000;
  const publishing = setInterval(() => {
    for (let sent = 0; sent < perTick; sent += 1) {
      order += 1;
      publishOrder(shop, order);
    }
  }, TICK_MS);
  const stop = () => {
    clearInterval(publishing);
    clients.forEach((one) => one.end());
  };
  return { stop };
}

function publishOrder(shop, order) {
  const body = JSON.stringify({ order, customer: `customer-${order % 97}`, total: order % 250 });
  shop.publish("shop", "order.new", body);
  shop.publish("shop", "product.changed", body);
  if (order % 2 === 0) {
    shop.publish("shop", "order.paid", body);
    shop.publish("shop", "mail.receipt", body);
    shop.publish("shop", "stock.changed", body);
  }
  if (order % 5 === 0) {
    shop.publish("shop", "order.shipped", body);
    shop.publish("shop", "image.new", body);
    shop.publish("shop", "invoice.print", body);
    shop.publish("shop", "mail.newsletter", body);
  }
}

async function declare(broker) {
  const bind = (queue, key) =>
    broker.api("POST", `bindings/%2F/e/shop/q/${encodeURIComponent(queue)}`, { routing_key: key });
  await broker.api("PUT", "exchanges/%2F/shop", { type: "topic", durable: true });
  await broker.api("PUT", "exchanges/%2F/shop.dead", { type: "fanout", durable: true });
  await broker.api("PUT", "policies/%2F/short-audit", {
    pattern: "^audit\\.",
    definition: { "max-length": FULL_LENGTH, overflow: "reject-publish" },
    "apply-to": "queues",
  });
  await broker.api("PUT", "policies/%2F/dead-orders", {
    pattern: "^orders\\.(incoming|paid|shipped)$",
    definition: { "dead-letter-exchange": "shop.dead" },
    "apply-to": "queues",
  });
  for (const queue of [...Object.keys(BUSY), ...CALM, STUCK, UNCONSUMED, FULL, DEAD]) {
    await broker.api("PUT", queuePath(queue), { durable: true });
  }
  for (const [queue, key] of Object.entries(BUSY)) {
    await bind(queue, key);
  }
  await bind(STUCK, "invoice.print");
  await bind(UNCONSUMED, "mail.newsletter");
  await broker.api("POST", `bindings/%2F/e/shop.dead/q/${DEAD}`, {});
}
