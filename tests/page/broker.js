// What is under test? A broker of its own for each file of tests, on free ports and an empty
// directory, asked over its HTTP API as operators do.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const STARTS_WITHIN_MS = 20_000;

// Starts LEVERET_BIN; resolves once it listens.
export async function startBroker() {
  const directory = mkdtempSync(join(tmpdir(), "leveret-page-"));
  const configuration = join(directory, "leveret.conf");
  writeFileSync(configuration, "prometheus.tcp.port = 0\n");
  // Its HTTP API takes any free port only from who knows none: the one that the system gives.
  const port = await freePort();
  const options = ["--config", configuration, "--data-dir", join(directory, "data"), "--port", "0"];
  const child = spawn(process.env.LEVERET_BIN, [...options, "--management-port", String(port)], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const output = [];
  const amqpPort = await new Promise((resolve, reject) => {
    const late = setTimeout(
      () => reject(new Error(`no start: ${output.join("\n")}`)),
      STARTS_WITHIN_MS,
    );
    createInterface({ input: child.stderr }).on("line", (line) => {
      output.push(line);
      const listens = / listening on 127\.0\.0\.1:(\d+) /.exec(line);
      if (listens) {
        clearTimeout(late);
        resolve(Number(listens[1]));
      }
    });
    child.on("exit", (code) => reject(new Error(`it ended with ${code}: ${output.join("\n")}`)));
  });
  const url = `http://127.0.0.1:${port}/`;
  const stop = async () => {
    const ended = new Promise((resolve) => child.on("exit", resolve));
    child.kill("SIGTERM");
    await ended;
    rmSync(directory, { recursive: true, force: true });
  };
  return { url, amqpPort, api: (method, path, body) => api(url, method, path, body), stop };
}

async function freePort() {
  const { createServer } = await import("node:net");
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

// Asks as guest; what was answered, which has to be good.
async function api(url, method, path, body) {
  const answer = await fetch(`${url}api/${path}`, {
    method,
    headers: { Authorization: `Basic ${Buffer.from("guest:guest").toString("base64")}` },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await answer.text();
  if (!answer.ok) {
    throw new Error(`${method} ${path}: ${answer.status} ${text}`);
  }
  return text === "" ? null : JSON.parse(text);
}

// The path of a queue in the vhost `/`.
export const queuePath = (name) => `queues/%2F/${encodeURIComponent(name)}`;

// Publishes so many messages to a queue by its name.
export async function publish(broker, queue, { number = 1, payload = "x", headers = {} } = {}) {
  for (let sent = 0; sent < number; sent += 1) {
    await broker.api("POST", "exchanges/%2F/amq.default/publish", {
      routing_key: queue,
      properties: { headers },
      payload,
      payload_encoding: "string",
    });
  }
}
