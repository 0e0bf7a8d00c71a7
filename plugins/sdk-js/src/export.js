// What a component exports, made from a plugin. `describe` touches nothing; `start` makes the
// object all other calls go to.

import * as check from "./check.js";
import { seed } from "./globals.js";
import { Rejected, guard, ofThrown, toRaw } from "./failure.js";
import { Message, newsToRaw } from "./message.js";
import { read, specs } from "./options.js";
import { whole } from "./promise.js";
import { decode } from "./text.js";
import { Worklist } from "./worklist.js";

/** The entry points: the method, the interface of the contract, its name in JavaScript. */
export const ENTRY_POINTS = [
  ["gather", "gather", "gather"],
  ["wake", "wake", "wake"],
  ["settled", "settled", "settled"],
  ["afterAccept", "after-accept", "afterAccept"],
  ["download", "download", "download"],
  ["send", "send", "send"],
  ["afterWork", "after-work", "afterWork"],
  ["post", "post", "post"],
  ["request", "request", "request"],
  ["line", "line", "line"],
];

/** A plugin's object with its options set. */
export function make(plugin, given, context) {
  return Object.assign(Object.create(plugin), { options: read(plugin.options ?? {}, given), context });
}

function judged(list, work, batch) {
  const worklist = new Worklist({ [list]: batch.map((raw) => new Message(raw)) });
  return guard(() => {
    work(worklist);
    // What was put into the lists may be anything.
    return worklist.verdicts();
  });
}

/** `download` and `send`: one result per message. */
function each(work, batch) {
  return batch.map((raw) => {
    const message = new Message(raw);
    try {
      work(message);
      return { tag: "done", val: message.edits() };
    } catch (error) {
      if (error instanceof Rejected) return { tag: "reject", val: { code: error.code, reason: error.message } };
      return { tag: "fail", val: toRaw(ofThrown(error)) };
    }
  });
}

function posted(work, batch) {
  return batch.map((raw) => {
    try {
      work(new Message(raw));
      return { tag: "ok" };
    } catch (error) {
      return { tag: "err", val: toRaw(ofThrown(error)) };
    }
  });
}

function outcome({ message, fate }) {
  const reason = typeof fate.val === "string" ? fate.val : (fate.val?.reason ?? "");
  return { message: new Message(message), fate: fate.tag, reason };
}

function gathered(answer) {
  const { messages, more = false } = Array.isArray(answer) ? { messages: answer } : (answer ?? {});
  if (!Array.isArray(messages)) throw new TypeError(`\`gather\` returned ${check.shown(answer)}; return an array of messages, or { messages, more: true }`);
  return { messages: newsToRaw(messages, "gather"), more: Boolean(more) };
}

/** An answer of `request`, as the contract has it. */
export function answered(answer) {
  if (typeof answer !== "object" || answer === null || Array.isArray(answer)) {
    throw new TypeError(`\`request\` returned ${check.shown(answer)}; return { status, headers, body }`);
  }
  const { status = 200, headers = {}, body = "" } = answer;
  return {
    status: check.number(status, "`status` of an answer", 65535),
    headers: check.pairs(headers, "`headers` of an answer"),
    body: check.bytes(body, "`body` of an answer"),
  };
}

export function exportsOf(plugin, said) {
  let it = null;
  const call = (name, ...given) => whole(() => it[name]?.(...given));
  return {
    describe: {
      describe: () => ({ ...said, options: specs(plugin.options ?? {}) }),
    },
    lifecycle: {
      start({ options, ...context }) {
        seed();
        it = make(plugin, new Map(options), context);
        guard(() => call("start"));
        return { maxInstances: guard(() => check.maybeNumber(plugin.maxInstances, "`maxInstances`", 2 ** 32 - 1)) };
      },
      housekeeping: () => guard(() => call("housekeeping")),
      stop: () => guard(() => call("stop")),
    },
    gather: { gather: (limit) => guard(() => gathered(call("gather", limit))) },
    wake: { wait: (timeoutMs) => guard(() => Boolean(call("wake", timeoutMs / 1000))) },
    settled: { settled: (outcomes) => guard(() => call("settled", outcomes.map(outcome))) },
    afterAccept: { afterAccept: (batch) => judged("incoming", (worklist) => call("afterAccept", worklist), batch) },
    download: { download: (batch) => each((message) => call("download", message), batch) },
    send: { send: (batch) => each((message) => call("send", message), batch) },
    afterWork: { afterWork: (batch) => judged("ok", (worklist) => call("afterWork", worklist), batch) },
    post: { post: (batch) => posted((message) => call("post", message), batch) },
    request: {
      handle: (request) =>
        guard(() => {
          const answer = call("request", new HttpRequest(request));
          return answered(answer);
        }),
    },
    line: {
      line: (peer, text) => guard(() => call("line", peer, text)),
      closed: (peer) => guard(() => call("closed", peer)),
    },
  };
}

export class HttpRequest {
  constructor(raw) {
    Object.assign(this, raw);
  }

  header(name) {
    return this.headers.find(([other]) => other.toLowerCase() === name.toLowerCase())?.[1] ?? null;
  }

  text() {
    return decode(this.body);
  }

  json() {
    return JSON.parse(this.text());
  }
}

