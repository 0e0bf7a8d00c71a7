// Values of the wrong type are refused at the author's line, with what to write. A component would
// crash on each of them: the contract's types are all it can take.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Failure, Rejected, connect, definePlugin, http, lines, metrics, secret, state, submit } from "../src/index.js";
import { answered } from "../src/export.js";
import { ofThrown } from "../src/failure.js";
import { Host } from "../src/testing.js";
import { Worklist } from "../src/worklist.js";

const host = new Host();
const message = host.message("a");
const worklist = new Worklist({ ok: [message] });
const made = (fields) => ({ baseUrl: "https://h/", relPath: "a", ...fields });

const CASES = [
  [() => worklist.reject(message, 422), /`reason` of `worklist.reject` is text, and not undefined/],
  [() => worklist.reject(message, "bad", "why"), /`code` of `worklist.reject` is a whole number, and not "bad", of type string$/],
  [() => worklist.reject(message, "422", "why"), /of type string; write 422$/],
  [() => worklist.reject(message, 70000, "why"), /from 0 to 65535, and not 70000/],
  [() => worklist.reject([message], 422, "why"), /is one of the worklist.*for each/],
  [() => worklist.fail(message, { reason: "x" }), /the failure of `worklist.fail` is a Failure, or text/],
  [() => worklist.fail(message, "busy", 7), /is an object, and not 7, of type number; write { retryAfter: 7 }/],
  [() => worklist.fail(message, "busy", { retryAfter: "7s" }), /a time is a number of seconds, and not "7s"/],
  [() => worklist.wait(message, null, 5), /`reason` of `worklist.wait` is text, and not null/],
  [() => worklist.wait(message, "noon"), /a time is a number of seconds, and not undefined/],
  [() => worklist.replace(message, [made()]), /write worklist.replace\(message, \.\.\.messages\)/],
  [() => worklist.add(message, message), /write { baseUrl: message.baseUrl/],
  [() => (worklist.ok = null), /`worklist.ok` is an array of messages, and not null/],
  [() => submit([made()]), /write submit\(\.\.\.messages\)/],
  [() => submit(made({ relPath: undefined })), /`relPath` of a new message is text, and not undefined/],
  [() => submit(made({ size: "5" })), /`size` of a new message is a whole number.*write 5$/],
  [() => submit(made({ headers: { x: undefined } })), /header `x` is text, or something JSON has, and not undefined/],
  [() => message.headers.set(undefined, "x"), /the name of a header is text, and not undefined/],
  [() => message.headers.set("x", undefined), /header `x` is text, or something JSON has, and not undefined/],
  [() => message.headers.set("x", Uint8Array.of(1)), /header `x`.*write `decode\(…\)` around it/],
  [() => message.headers.set("x", new Set([1])), /header `x`.*of type Set; write `\[\.\.\.…\]` around it/],
  [() => message.headers.set("x", Promise.resolve(1)), /header `x`.*and not a promise; write `await` before it/],
  [() => message.headers.set("x", 1n), /header `x`.*of type bigint/],
  [() => message.headers.set("x", NaN), /header `x`.*and not NaN/],
  [() => (message.size = "5"), /`size` of a message is a whole number/],
  [() => (message.size = -1), /from 0 to/],
  [() => (message.relPath = null), /`relPath` of a message is text, and not null/],
  [() => (message.identity = "x"), /is an identity, or null.*write { method/],
  [() => Failure.permanent(undefined), /the reason of a failure is text, and not undefined/],
  [() => new Rejected("404", "gone"), /`code` of a rejection is a whole number/],
  [() => answered("text"), /`request` returned "text", of type string; return { status, headers, body }/],
  [() => answered({ status: "200" }), /`status` of an answer is a whole number.*write 200/],
  [() => answered({ headers: { a: ["b"] } }), /`a` in `headers` of an answer is text/],
  [() => answered({ body: { a: 1 } }), /`body` of an answer is text.*write `JSON.stringify\(…\)` around it/],
  [() => state.put("k", 5), /a value of the state is text, or bytes in a Uint8Array, and not 5/],
  [() => state.get(undefined), /a key of the state is text/],
  [() => state.putJson("k", undefined), /something JSON has, and not undefined/],
  [() => http.get(undefined), /the URL of a request is text/],
  [() => http.post("https://h/", { body: { a: 1 } }), /`body` of a request is text/],
  [() => http.post("https://h/", { headers: "a: b" }), /`headers` of a request is an object/],
  [() => http.post("https://h/", { content: "x" }), /write { content: message.open\(\) }/],
  [() => connect("h", "993"), /the port of a connection is a whole number.*write 993/],
  [() => secret.credential(undefined), /the URL of `secret.credential` is text/],
  [() => metrics.count("seen", "2"), /what a counter grows by is a whole number/],
  [() => lines.write(1, null), /the text of `lines.write` is text/],
];

for (const [work, said] of CASES) {
  test(`it is refused where it is given: ${said.source.slice(0, 60)}`, () => {
    assert.throws(work, (error) => {
      assert.match(error.message, said);
      // As a component names the place: the first line that is the author's.
      assert.match(error.stack, /given\.test\.js/);
      return error instanceof TypeError || error instanceof RangeError;
    });
  });
}

test("nothing is kept of what was refused", () => {
  const fresh = host.message("b");
  assert.throws(() => fresh.headers.set("x", undefined));
  assert.throws(() => (fresh.size = "5"));
  assert.deepEqual([[...fresh.headers], fresh.edits()], [[], []]);
});

test("what can only mean one thing is taken", () => {
  const pairs = [["a", "1"], ["b", "2"]];
  assert.deepEqual(answered({ headers: { a: 1, b: "2" } }).headers, pairs);
  assert.deepEqual(answered({ headers: new Map(pairs) }).headers, pairs);
  assert.deepEqual(answered({ headers: pairs }).headers, pairs);
  assert.deepEqual(answered({ body: new Uint16Array([1]) }).body.length, 2);
  assert.equal(Failure.permanent(new RangeError("lost")).message, "lost");
  submit(made({ headers: new Map([["x", { y: 1 }]]), size: null, pubTime: undefined }));
  assert.deepEqual(host.submitted[0].headers, [{ name: "x", value: { tag: "json", val: '{"y":1}' } }]);
});

test("a mistake that was caught may be handed on", () => {
  const plugin = definePlugin({
    name: "it",
    version: "1",
    summary: "is tested",
    afterWork({ ok }) {
      for (const one of ok) {
        try {
          JSON.parse(one.relPath);
        } catch (error) {
          this.list.fail(one, error);
        }
      }
    },
  });
  const one = host.message("{");
  const list = new Worklist({ ok: [one] });
  plugin.list = list;
  plugin.afterWork(list);
  const [{ tag, val }] = list.verdicts();
  assert.deepEqual([tag, val.tag], ["fail", "temporary"]);
  assert.match(val.val.reason, /^SyntaxError: /);
  assert.match(ofThrown(new TypeError("x")).message, /^TypeError: x at /);
});
