// The kit without a component: worklists, options, content, failures.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Failure, Rejected, connect, decode, definePlugin, encode, formatTime, http, log, metrics, option, parseTime, secret, state } from "../src/index.js";
import { meant, methods, misnamed } from "../src/names.js";
import { specs } from "../src/options.js";
import { Promised, hold, later, whole } from "../src/promise.js";
import { standIn } from "../host/stand-in.js";
import { Host } from "../src/testing.js";

const about = { name: "it", version: "1", summary: "is tested" };

test("options are described and read", () => {
  const plugin = definePlugin({
    ...about,
    options: {
      size: option.size({ default: "10MiB", doc: "Bytes." }),
      pause: option.duration({ default: "90s", doc: "A time." }),
      flag: option.flag({ default: false, doc: "A flag." }),
      mode: option.choice(["keep", "drop"], { default: "keep", doc: "A choice." }),
      names: option.text({ list: true, doc: "Names." }),
      maybe: option.text({ optional: true, doc: "May be unset." }),
      url: option.url({ doc: "A URL." }),
    },
  });
  const described = specs(plugin.options);
  assert.deepEqual(described.filter((spec) => spec.required).map((spec) => spec.name), ["url"]);
  assert.equal(described.find((spec) => spec.name === "flag").default, "off");
  const { options } = new Host().start(plugin, { url: "https://h/", names: ["a"] });
  assert.deepEqual(options, { size: 10 << 20, pause: 90, flag: false, mode: "keep", names: ["a"], maybe: null, url: "https://h/" });
  assert.throws(() => new Host().start(plugin), /option `url` has to be set/);
  assert.throws(() => new Host().start(plugin, { url: "x", mode: "y" }), /is one of keep, drop/);
});

test("lists decide as in sr3", () => {
  const plugin = definePlugin({
    ...about,
    afterAccept(worklist) {
      const keep = [];
      for (const message of worklist.incoming) {
        if (message.relPath === "rejected") worklist.rejected.push(message);
        else if (message.relPath === "failed") worklist.failed.push(message);
        else if (message.relPath !== "lost") {
          message.headers.set("seen", "yes");
          message.headers.delete("old");
          message.relPath += "!";
          keep.push(message);
        }
      }
      worklist.incoming = keep;
    },
  });
  const host = new Host();
  const messages = ["kept", "rejected", "failed", "lost"].map((name) => host.message(name, { headers: { old: 1 } }));
  const { verdicts, failures, worklist } = host.afterAccept(host.start(plugin), ...messages);
  assert.deepEqual(verdicts, { kept: "update", rejected: "reject", failed: "fail", lost: "fail" });
  assert.match(failures.lost, /out of the worklist/);
  assert.deepEqual(worklist.verdicts()[0].val, [
    { tag: "rel-path", val: "kept!" },
    { tag: "header", val: ["seen", { tag: "text", val: "yes" }] },
    { tag: "header", val: ["old", null] },
  ]);
});

test("verdicts by method while going through the list", () => {
  const plugin = definePlugin({
    ...about,
    afterWork(worklist) {
      for (const message of worklist.ok) {
        const more = { baseUrl: message.baseUrl, relPath: "more" };
        if (message.relPath === "reject") worklist.reject(message, 415, "wrong type");
        if (message.relPath === "fail") worklist.fail(message, "busy", { retryAfter: 1.5 });
        if (message.relPath === "wait") worklist.wait(message, "until noon", 3600);
        if (message.relPath === "add") worklist.add(message, more);
        if (message.relPath === "both") {
          message.size = 1;
          worklist.add(message, more);
        }
      }
    },
  });
  const host = new Host();
  const names = ["reject", "fail", "wait", "add", "both", "keep"];
  const { verdicts, made, worklist } = host.afterWork(host.start(plugin), ...names.map((name) => host.message(name)));
  assert.deepEqual(Object.values(verdicts), ["reject", "fail", "wait", "add", "fail", "keep"]);
  assert.deepEqual(made, ["more"]);
  assert.deepEqual(worklist.verdicts()[1].val.val, { reason: "busy", retryAfterMs: 1500 });
});

test("content is derived, and filters are asked", () => {
  const plugin = definePlugin({
    ...about,
    afterWork(worklist) {
      for (const message of worklist.ok) {
        const derived = message.derive(`${message.relPath}.up`, "text/plain");
        if (derived === null) continue;
        derived.write(message.open().text().toUpperCase());
        worklist.replace(message, derived.finish());
      }
    },
  });
  const host = new Host();
  host.wanted = (relPath) => !relPath.includes("no");
  host.content = { a: "x".repeat(70_000) + "é", no: "" };
  const { verdicts } = host.afterWork(host.start(plugin), host.message("a"), host.message("no"));
  assert.equal(decode(host.derived["a.up"]), "X".repeat(70_000) + "É");
  assert.deepEqual(verdicts, { a: "replace", no: "keep" });
});

test("state, http, secrets, metrics and log", () => {
  const host = new Host();
  state.put("k/1", "é");
  state.putJson("k/2", { a: [1] });
  assert.deepEqual([state.getText("k/1"), state.getJson("k/2"), state.get("none")], ["é", { a: [1] }, null]);
  assert.equal(state.swap("k/1", "é", null), true);
  assert.equal(state.swap("k/2", null, ""), false);
  assert.deepEqual([...state.keys("k/")], ["k/2"]);
  host.answer = ({ body }) => ({ status: 201, headers: { ETag: "1" }, body });
  const response = http.post("https://h/", { json: { a: 1 }, timeout: 2 });
  assert.deepEqual([response.ok, response.json(), response.header("etag")], [true, { a: 1 }, "1"]);
  assert.deepEqual(host.requests[0].headers, { "content-type": "application/json" });
  assert.throws(() => secret.credential("ftp://h/"), { name: "Failure", kind: "config", message: /no line for ftp/ });
  metrics.count("seen", 2);
  metrics.count("seen");
  log.info("hello");
  assert.deepEqual([host.counted, host.logged], [{ seen: 3 }, [["info", "hello"]]]);
});

test("connections read lines and blocks", () => {
  const host = new Host();
  const left = ["+OK he", "llo\r\nabc", "d", ""].map(encode);
  const written = [];
  host.dial = () => ({ read: () => left.shift(), write: (data) => written.push(decode(data)) });
  const stream = connect("h", 110, { tls: false });
  assert.equal(stream.readLine(), "+OK hello");
  assert.equal(decode(stream.readExactly(4)), "abcd");
  stream.write("QUIT\r\n");
  assert.throws(() => stream.readExactly(1), { kind: "temporary" });
  assert.deepEqual(written, ["QUIT\r\n"]);
});

test("a rejection in download is told apart from a failure", () => {
  const host = new Host();
  const plugin = definePlugin({
    ...about,
    download(message) {
      if (message.relPath === "gone") throw new Rejected(410, "it is gone");
      if (message.relPath === "busy") throw Failure.temporary("busy", { retryAfter: 3 });
      const writer = message.create();
      writer.write("abc").finish();
    },
  });
  const it = host.start(plugin);
  assert.equal(decode(host.download(it, host.message("a"))), "abc");
  assert.throws(() => host.download(it, host.message("gone")), { code: 410 });
  assert.throws(() => host.download(it, host.message("busy")), { retryAfter: 3 });
});

test("methods that are nearly entry points are found", () => {
  const near = {
    after_accept: "afterAccept",
    afteraccept: "afterAccept",
    afterAcept: "afterAccept",
    after_work: "afterWork",
    onRequest: "request",
    on_request: "request",
    gahter: "gather",
    onHousekeeping: "housekeeping",
    poll: "gather",
    onMessage: "afterAccept",
    sent: "send",
  };
  for (const [name, known] of Object.entries(near)) assert.equal(meant(name), known, name);
  for (const other of ["gather", "line", "make", "lines", "message", "close", "connect", "sendOne", "_sent", "once", "part"]) assert.equal(meant(other), null, other);
  const it = { ...about, afterAccept() {}, after_work() {}, helper() {} };
  assert.deepEqual(methods(it), ["afterAccept", "after_work", "helper"]);
  assert.deepEqual(misnamed(it), [
    "the plugin has a method `after_work`, which is never called: did you mean `afterWork`? A helper of your own that is called so, call `_after_work`",
  ]);
});

test("times", () => {
  assert.equal(parseTime("20261122T093000.5").getTime(), Date.UTC(2026, 10, 22, 9, 30, 0, 500));
  assert.equal(formatTime(new Date(0)), "19700101T000000.000");
});

test("without a host it is said", () => {
  standIn(null);
  assert.throws(() => state.get("x"), /there is no host here/);
});

test("an async method is done when the call is", () => {
  const order = [];
  const work = (name) => new Promised((resolve) => later(() => resolve(order.push(name))));
  const result = whole(() =>
    Promised.all([work("a"), 7, work("b")])
      .then((all) => (order.push("all"), all[1]))
      .finally(() => order.push("end")),
  );
  assert.deepEqual([result, order], [7, ["a", "b", "all", "end"]]);
  assert.equal(whole(() => 3), 3);
  const failed = () => whole(() => Promised.reject(new TypeError("wrong")).then(() => 1));
  assert.throws(failed, { name: "TypeError", message: "wrong" });
  assert.throws(() => whole(() => new Promised(() => {})), /waits for something that never comes/);
});

test("promises are those of the language", () => {
  const of = (promise) => whole(() => promise);
  assert.equal(of(Promised.resolve(1).then((one) => Promised.resolve(one + 1))), 2);
  assert.equal(of(Promised.resolve({ then: (resolve) => resolve("thenable") })), "thenable");
  assert.equal(of(Promised.reject(1).catch((one) => one + 1)), 2);
  assert.equal(of(new Promised((resolve, reject) => (resolve(1), reject(2)))), 1);
  assert.equal(of(new Promised(() => { throw 4; }).then(null, (thrown) => thrown)), 4);
  assert.equal(of(Promised.any([Promised.reject(1), 2])), 2);
  assert.equal(of(Promised.any([]).catch((error) => error.constructor)), AggregateError);
  assert.deepEqual(of(Promised.all([])), []);
  assert.deepEqual(of(Promised.race([Promised.withResolvers().promise, 5])), 5);
  const settled = [{ status: "fulfilled", value: 1 }, { status: "rejected", reason: 2 }];
  assert.deepEqual(of(Promised.allSettled([1, Promised.reject(2)])), settled);
  const itself = Promised.withResolvers();
  itself.resolve(itself.promise);
  assert.equal(of(itself.promise.catch((error) => error.constructor)), TypeError);
});

test("a rejection nobody looks at is in the log, and what a call holds goes with it", () => {
  const host = new Host();
  let closed = 0;
  whole(() => {
    hold(() => (closed += 1));
    Promised.reject(new RangeError("lost"));
  });
  assert.equal(closed, 1);
  assert.match(host.logged[0][1], /nobody looked: RangeError: lost/);
});

test("fetch asks the host of the test, and async methods are awaited", async () => {
  const host = new Host();
  host.answer = ({ url, body }) => ({ status: url.endsWith("/busy") ? 503 : 200, headers: { "x-a": "b" }, body: `got ${decode(body)}` });
  const plugin = definePlugin({
    ...about,
    async afterAccept(worklist) {
      for (const message of worklist.incoming) {
        const answer = await fetch(`https://h/${message.relPath}`, { method: "POST", body: "x" });
        if (!answer.ok) worklist.reject(message, answer.status, "busy");
        else message.headers.set("said", `${await answer.text()} ${answer.headers.get("X-A")}`);
      }
    },
  });
  const [a, b] = [host.message("a"), host.message("busy")];
  const judged = await host.afterAccept(host.start(plugin), a, b);
  assert.deepEqual(judged.verdicts, { a: "update", busy: "reject" });
  assert.equal(a.headers.get("said"), "got x b");
  assert.equal(host.requests[0].method, "POST");
});

test("UTF-8 without the platform's help", async () => {
  const native = [globalThis.TextEncoder, globalThis.TextDecoder];
  [globalThis.TextEncoder, globalThis.TextDecoder] = [undefined, undefined];
  const own = await import("../src/text.js?alone");
  [globalThis.TextEncoder, globalThis.TextDecoder] = native;
  const text = "aé€😀\u{10ffff}\0".repeat(3000);
  assert.deepEqual(own.encode(text), new TextEncoder().encode(text));
  assert.equal(own.decode(new TextEncoder().encode(text)), text);
  assert.equal(own.encode("\ud800x").length, 4);
  const broken = Uint8Array.of(0x61, 0xff, 0xc3, 0x28, 0xed, 0xa0, 0x80, 0xf0, 0x9f);
  assert.match(own.decode(broken), /^a\ufffd\ufffd\(\ufffd+$/);
});
