// Do the page's parts that need no browser do what their heads say?

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";

const files = "../../src/management/page/files";
const [api, format, history, router, diagnosis, settings, ticks] = await Promise.all(
  ["api", "format", "history", "router", "queue-diagnosis", "queue-settings", "ticks"].map(
    (name) => import(`${files}/${name}.js`),
  ),
);

const NAMES = [
  "a",
  "a/b",
  "100%",
  "it's",
  '"',
  "🐇",
  " ",
  "?a=b&c",
  "#",
  "<b>",
  "$HOME `id`",
  "a\nb",
  "\\",
];

test("numbers, sizes and times are short and say their unit", () => {
  assert.deepEqual([0, 999, 12_345].map(format.count), ["0", "999", "12,345"]);
  assert.deepEqual([0, 1023, 1024, 1536, 5e9].map(format.bytes), [
    "0 B",
    "1023 B",
    "1 KiB",
    "1.5 KiB",
    "4.7 GiB",
  ]);
  assert.deepEqual([0, 3.24, 0.004, 1234].map(format.rate), ["0/s", "3.2/s", "0/s", "1,234/s"]);
  assert.deepEqual([0, 0.123, 15, 3200, 61_000, 7_500_000, 90_061_000].map(format.duration), [
    "0 ms",
    "0.12 ms",
    "15 ms",
    "3.2 s",
    "1 min 1 s",
    "2 h 5 min",
    "1 d 1 h",
  ]);
  assert.deepEqual([59_000, 61_000, 90_061_000].map(format.shortDuration), [
    "59 s",
    "1 min",
    "1 d",
  ]);
  for (const nothing of [null, undefined, NaN, Infinity, "5"]) {
    for (const write of [
      format.count,
      format.compact,
      format.bytes,
      format.rate,
      format.duration,
    ]) {
      assert.equal(write(nothing), "–");
    }
  }
});

test("a shell reads back the names of a line to copy", () => {
  for (const name of NAMES) {
    const line = format
      .command("purge_queue", "-p", name, name)
      .replace("leveretctl", "printf '%s|'");
    const read = execFileSync("/bin/sh", ["-c", line], { encoding: "utf8" });
    assert.equal(read, `purge_queue|-p|${name}|${name}|`);
  }
});

test("an address leads back to the names that it was made of", () => {
  for (const vhost of NAMES) {
    for (const name of NAMES) {
      const { segments, parameters } = router.where(
        router.link(["queues", vhost, name], { q: name }),
      );
      assert.deepEqual(segments, ["queues", vhost, name]);
      assert.deepEqual(parameters, { q: name });
    }
  }
  const views = [{ path: "" }, { path: "queues" }, { path: "queues/:vhost/:name" }];
  assert.deepEqual(router.match(views, ["queues", "/", "a"]), {
    view: views[2],
    names: { vhost: "/", name: "a" },
  });
  assert.equal(router.match(views, ["queues", "/"]), null);
  assert.deepEqual(router.where("#/queues/%zz").segments, ["queues", "%zz"]);
});

test("no action has an empty target, or one that a browser would understand otherwise", () => {
  assert.equal(api.path`queues/${"/"}/${"a b"}`, "queues/%2F/a%20b");
  for (const name of ["", null, undefined, ".", ".."]) {
    assert.throws(() => api.path`queues/${"/"}/${name}`, { name: "Error", status: 0 });
  }
});

test("a rate is what was counted between two samples", () => {
  const at = (second, sample) => ({ timestamp: second * 1000, sample });
  // The newest first, as RabbitMQ answers; a count that falls began anew.
  const samples = [at(20, 5), at(15, 160), at(10, 110), at(5, 10)];
  assert.deepEqual(history.rates("a", { rate: 1, samples }), [
    [10_000, 20],
    [15_000, 10],
    [20_000, 0],
  ]);
  assert.deepEqual(
    history.levels("b", 5, { samples }).map(([, value]) => value),
    [10, 110, 160, 5],
  );
});

test("what the API does not remember, the page does, but not for ever", () => {
  for (let point = 0; point < 1000; point += 1) {
    history.note("c", point, point * 5000);
  }
  const seen = history.seen("c");
  assert.ok(seen.length > 100 && seen.length < 1000);
  assert.deepEqual(seen.at(-1), [999 * 5000, 999]);
  for (let figure = 0; figure < 5000; figure += 1) {
    history.note(`figure ${figure}`, 1, 0);
  }
  assert.deepEqual([history.seen("c").length, history.seen("figure 4999").length], [0, 1]);
});

test("an axis has few and round marks that reach what is drawn", () => {
  for (const most of [0, 0.3, 1, 7, 10, 99, 100, 1234, 5e6, 7.7e12]) {
    for (const [make, write] of [
      [ticks.decimalTicks, format.compact],
      [ticks.binaryTicks, format.bytes],
    ]) {
      const marks = make(most, write);
      assert.ok(marks[0] === 0 && marks.at(-1) >= most, `${most}: ${marks}`);
      assert.ok(marks.length >= 2 && marks.length <= 6, `${most}: ${marks}`);
      assert.equal(new Set(marks.map(write)).size, marks.length, `${most}: ${marks.map(write)}`);
    }
  }
  assert.deepEqual(ticks.decimalTicks(1, String, true), [0, 1]);
  const { ticks: times } = ticks.timeTicks(0, 86_400_000, 6);
  assert.ok(times.length >= 3 && times.length <= 6, `${times}`);
});

test("of an argument and two policies the one wins that the broker takes", () => {
  const queue = {
    arguments: { "x-max-length": 10, "x-dead-letter-exchange": "mine", "x-expires": 5 },
  };
  const policies = {
    policy: { "max-length": 5, "dead-letter-exchange": "theirs", overflow: "drop-head" },
    operator: { "max-length": 7, expires: 9 },
  };
  const won = settings.settings(queue, policies).map(({ key, value, from }) => [key, value, from]);
  assert.deepEqual(won, [
    ["dead-letter-exchange", "mine", "argument"],
    ["expires", 5, "argument"],
    ["max-length", 5, "policy"],
    ["overflow", "drop-head", "policy"],
  ]);
});

test("a queue says what is wrong with it and why", () => {
  const rates = (publish, ack, deliver) => ({
    publish_details: { rate: publish },
    ack_details: { rate: ack },
    deliver_get_details: { rate: deliver },
  });
  const found = (queue) => diagnosis.diagnoses(queue).map(({ level, text }) => `${level}: ${text}`);
  const queue = { messages_ready: 5, messages_unacknowledged: 0, consumers: 0, message_stats: {} };
  assert.deepEqual(found(queue), ["warn: Nobody consumes: 5 messages wait."]);
  assert.deepEqual(found({ ...queue, message_stats: rates(3, 0, 0) }), [
    "bad: Nobody consumes, and it grows by 3/s.",
  ]);
  const holds = (unacked, ms) => ({
    messages_unacknowledged: unacked,
    awaiting_ack_ms: ms,
    prefetch_count: 5,
    ack_required: true,
  });
  const held = (...all) =>
    found({
      ...queue,
      consumers: all.length,
      message_stats: rates(3, 0, 0),
      consumer_details: all,
    });
  assert.deepEqual(held(holds(5, 20_000)), [
    "warn: 1 consumer holds 5 messages and has acked none for 20 s.",
  ]);
  assert.deepEqual(held(holds(5, 20_000), holds(4, 90_000)), [
    "bad: 2 consumers hold 9 messages and have acked none for 1 min 30 s.",
  ]);
  assert.deepEqual(held(holds(5, 90_000), holds(1, 100)), [
    "bad: One of 2 consumers holds 5 messages and has acked none for 1 min 30 s.",
  ]);
  assert.deepEqual(held(holds(5, 9_999)), ["warn: It grows: 3/s come and 0/s go."]);
  assert.deepEqual(found({ ...queue, consumers: 2, message_stats: rates(30, 10, 10) }), [
    "warn: It grows: 30/s come and 10/s go.",
  ]);
  assert.deepEqual(found({ ...queue, consumers: 2, message_stats: rates(10, 10, 10) }), []);
  assert.deepEqual(found({ ...queue, messages_ready: 0 }), []);
});

test("a full queue says which rule allows no more, and what becomes of what comes", () => {
  const queue = { messages_ready: 5, messages_unacknowledged: 0, consumers: 1, message_stats: {} };
  const full = (more) => diagnosis.diagnoses({ ...queue, ...more }).map(({ text }) => text);
  const policy = { policy: "short", effective_policy_definition: { "max-length": 5 } };
  assert.deepEqual(full({ arguments: { "x-max-length": 6 } }), []);
  assert.deepEqual(full(policy), [
    "It is full: policy short allows 5 messages, and the oldest make room for new ones.",
  ]);
  assert.deepEqual(full({ ...policy, arguments: { "x-overflow": "reject-publish" } }), [
    "It is full: policy short allows 5 messages, and what is published is refused.",
  ]);
  const long = (size) =>
    full({
      message_bytes_ready: size,
      arguments: { "x-max-length-bytes": 1024, "x-overflow": "reject-publish" },
    });
  assert.deepEqual(long(850), []);
  assert.deepEqual(long(1000), [
    "It is full: its argument x-max-length-bytes allows 1 KiB, and what is published is refused.",
  ]);
  assert.deepEqual(full({ ...policy, arguments: { "x-max-length": 3 } }), [
    "It is full: its argument x-max-length allows 3 messages, and the oldest make room for new " +
      "ones.",
  ]);
});
