// Who publishes and consumes while somebody looks? A client that speaks as much of AMQP 0-9-1 as
// the tests need.

import { createConnection } from "node:net";

const METHOD = 1;
const HEADER = 2;
const BODY = 3;
const FRAME_END = 0xce;

const short = (number) => [number >> 8, number & 255];
const long = (number) => [...short(number >>> 16), ...short(number & 0xffff)];
const shortText = (text) => [Buffer.byteLength(text), ...Buffer.from(text)];
const longText = (text) => [...long(Buffer.byteLength(text)), ...Buffer.from(text)];
const method = (of, number, ...rest) => [...short(of), ...short(number), ...rest.flat()];

function table(texts) {
  const fields = Object.entries(texts).flatMap(([key, text]) => [
    ...shortText(key),
    "S".charCodeAt(0),
    ...longText(text),
  ]);
  return [...long(fields.length), ...fields];
}

// Connects as guest, as a client that calls itself and its program so; `closed` resolves to what
// the broker said when it closed the connection.
export async function connect(port, name, product = "test of the page") {
  const socket = createConnection(port, "127.0.0.1");
  const client = { socket, unread: Buffer.alloc(0), waiting: [], delivered: () => {} };
  client.closed = new Promise((resolve) => {
    client.told = resolve;
  });
  socket.on("error", () => {});
  socket.on("data", (bytes) => take(client, bytes));
  socket.write(Buffer.from([..."AMQP"].map((of) => of.charCodeAt(0)).concat(0, 0, 9, 1)));
  await answer(client, 10, 10);
  const properties = table({ connection_name: name, product });
  const login = [shortText("PLAIN"), longText("\0guest\0guest"), shortText("en_US")];
  send(client, 0, method(10, 11, properties, ...login));
  await answer(client, 10, 30);
  send(client, 0, method(10, 31, short(100), long(131_072), short(0)));
  await call(client, 0, method(10, 40, shortText("/"), shortText(""), [0]), [10, 41]);
  await call(client, 1, method(20, 10, shortText("")), [20, 11]);
  return {
    closed: client.closed,
    end: () => socket.destroy(),
    publish: (exchange, key, body = "x") => publish(client, exchange, key, body),
    // Takes at most so many messages of a queue and acknowledges none.
    hold: (queue, tag, prefetch) => consume(client, queue, tag, prefetch),
    // The same, and acknowledges all of them.
    work: (queue, tag, prefetch) => {
      client.delivered = (deliveryTag) =>
        send(client, 1, method(60, 80, long(0), long(deliveryTag), [0]));
      return consume(client, queue, tag, prefetch);
    },
  };
}

async function consume(client, queue, tag, prefetch) {
  await call(client, 1, method(60, 10, long(0), short(prefetch), [0]), [60, 11]);
  const names = [shortText(queue), shortText(tag)];
  await call(client, 1, method(60, 20, short(0), ...names, [0], table({})), [60, 21]);
}

function publish(client, exchange, key, body) {
  const names = [shortText(exchange), shortText(key)];
  send(client, 1, method(60, 40, short(0), ...names, [0]));
  const bytes = [...Buffer.from(body)];
  const size = [...long(0), ...long(bytes.length)];
  send(client, 1, [...short(60), ...short(0), ...size, ...short(0)], HEADER);
  send(client, 1, bytes, BODY);
}

function send({ socket }, channel, payload, kind = METHOD) {
  const head = [kind, ...short(channel), ...long(payload.length)];
  socket.write(Buffer.from([...head, ...payload, FRAME_END]));
}

async function call(client, channel, payload, [of, number]) {
  send(client, channel, payload);
  await answer(client, of, number);
}

const answer = (client, of, number) =>
  new Promise((resolve, reject) => {
    client.waiting.push({ of, number, resolve, reject });
  });

// Reads whole frames; what nobody waits for is left out.
function take(client, bytes) {
  client.unread = Buffer.concat([client.unread, bytes]);
  while (client.unread.length >= 7) {
    const end = 7 + client.unread.readUInt32BE(3);
    if (client.unread.length <= end) {
      return;
    }
    const payload = client.unread.subarray(7, end);
    if (client.unread[0] === METHOD) {
      takeMethod(client, payload);
    }
    client.unread = client.unread.subarray(end + 1);
  }
}

function takeMethod(client, payload) {
  const [of, number] = [payload.readUInt16BE(0), payload.readUInt16BE(2)];
  if (of === 10 && number === 50) {
    const reason = payload.subarray(7, 7 + payload[6]).toString();
    client.told(reason);
    client.waiting.splice(0).forEach(({ reject }) => reject(new Error(reason)));
    send(client, 0, method(10, 51));
  }
  if (of === 60 && number === 60) {
    // Tags are counted from one, so that the lower half holds them.
    client.delivered(payload.readUInt32BE(5 + payload[4] + 4));
  }
  const at = client.waiting.findIndex((one) => one.of === of && one.number === number);
  client.waiting.splice(at, at < 0 ? 0 : 1).forEach(({ resolve }) => resolve());
}
