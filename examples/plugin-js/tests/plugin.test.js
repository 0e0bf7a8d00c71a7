// The plugin's logic, without WebAssembly: `npm test`.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Failure } from "flow-plugin";
import { Host } from "flow-plugin/testing";

import plugin from "../src/plugin.js";

const webhook = "https://chat.example.org/hooks/abc";
const said = (host) => JSON.parse(new TextDecoder().decode(host.requests[0].body));

test("one message names the files of a batch", () => {
  const host = new Host();
  host.answer = () => ({ status: 200 });
  const it = host.start(plugin, { webhook, most: 2 });
  const files = ["in/a_b.csv", "b.bin", "c"].map((name) => host.message(name, { size: 1536 }));
  const { verdicts } = host.afterWork(it, ...files);
  assert.deepEqual(Object.values(verdicts), ["keep", "keep", "keep"]);
  assert.equal(host.requests.length, 1);
  assert.deepEqual(said(host), { text: "New files\n- a\\_b.csv (1.5 KiB)\n- b.bin (1.5 KiB)\n- and 1 more" });
  assert.equal(host.counted.chat_messages, 1);
});

test("a name can't mention anybody", () => {
  const host = new Host();
  host.answer = () => ({ status: 204 });
  const it = host.start(plugin, { webhook, field: "content", title: "Hi" });
  host.afterWork(it, host.message("<@all>\u202e[x]"));
  assert.deepEqual(said(host), { content: "Hi\n- \\<\\@all\\>\\[x\\]" });
});

test("a chat that is away delays nothing, unless it is required", () => {
  const host = new Host();
  const lost = host.afterWork(host.start(plugin, { webhook }), host.message("a"));
  assert.deepEqual(lost.verdicts, { a: "keep" });
  assert.match(host.logged[0][1], /was not told of 1 files: nobody answers/);
  host.answer = () => ({ status: 429, headers: { "Retry-After": "7" } });
  const waits = host.afterWork(host.start(plugin, { webhook, required: true }), host.message("a"));
  assert.deepEqual(waits.failures, { a: "the chat wants a pause" });
  assert.equal(waits.worklist.verdicts()[0].val.val.retryAfterMs, 7000);
});

test("a refusal pauses the flow where the chat is required", () => {
  const host = new Host();
  host.answer = () => ({ status: 403 });
  const { worklist } = host.afterWork(host.start(plugin, { webhook, required: true }), host.message("a"));
  assert.equal(worklist.verdicts()[0].val.tag, "auth");
});

test("what is missing from the flow is said at the start, or by the call", () => {
  const host = new Host();
  assert.throws(() => host.start(plugin, { webhook, most: 0 }), /names at least 1 file/);
  host.answer = () => {
    throw Failure.config("chat.example.org is not granted");
  };
  assert.throws(() => host.afterWork(host.start(plugin, { webhook }), host.message("a")), /not granted/);
});
