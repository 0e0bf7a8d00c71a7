// The worklist: the batch in hand, in sr3's words. afterAccept finds its messages in `incoming`,
// afterWork in `ok`. Each of them ends in one of the lists; one that is in none of them was lost by
// mistake, and goes to the dead letters rather than nowhere.

import * as check from "./check.js";
import { Failure, milliseconds, ofThrown, toRaw } from "./failure.js";
import { Message, newsToRaw } from "./message.js";

const KEEP = { tag: "keep" };

/** An array that may be changed while it is gone through. */
class Messages extends Array {
  static get [Symbol.species]() {
    return Array;
  }

  [Symbol.iterator]() {
    return this.slice().values();
  }
}

const listOf = (messages) => Object.setPrototypeOf([...messages], Messages.prototype);

function listed(messages, name) {
  if (typeof messages === "string" || typeof messages?.[Symbol.iterator] !== "function") {
    throw check.wrong(`\`worklist.${name}\``, "an array of messages", messages);
  }
  return listOf(messages);
}

function inHand(message, method) {
  if (message instanceof Message) return;
  const write = Array.isArray(message) ? `a call of \`worklist.${method}\` for each` : "";
  throw check.wrong(`the message of \`worklist.${method}\``, "one of the worklist", message, write);
}

export class Worklist {
  #batch;
  #incoming;
  #ok;

  constructor({ incoming = [], ok = [] }) {
    this.#incoming = listOf(incoming);
    this.#ok = listOf(ok);
    this.rejected = [];
    this.failed = [];
    this.#batch = [...incoming, ...ok];
  }

  get incoming() {
    return this.#incoming;
  }

  set incoming(messages) {
    this.#incoming = listed(messages, "incoming");
  }

  get ok() {
    return this.#ok;
  }

  set ok(messages) {
    this.#ok = listed(messages, "ok");
  }

  reject(message, code, reason) {
    inHand(message, "reject");
    check.number(code, "`code` of `worklist.reject`", 65535);
    check.text(reason, "`reason` of `worklist.reject`");
    message.verdict = { tag: "reject", val: { code, reason } };
    this.#move(message, this.rejected);
  }

  fail(message, failure, options) {
    inHand(message, "fail");
    if (typeof failure !== "string" && !(failure instanceof Error)) {
      throw check.wrong("the failure of `worklist.fail`", "a Failure, or text", failure);
    }
    // A mistake that was caught is logged with its stack.
    const why = typeof failure === "string" ? Failure.temporary(failure, options) : ofThrown(failure);
    message.verdict = { tag: "fail", val: toRaw(why) };
    this.#move(message, this.failed);
  }

  wait(message, reason, after) {
    inHand(message, "wait");
    check.text(reason, "`reason` of `worklist.wait`");
    message.verdict = { tag: "wait", val: { reason, afterMs: milliseconds(after) } };
    this.#takeOut(message);
  }

  replace(message, ...messages) {
    inHand(message, "replace");
    message.verdict = { tag: "replace", val: newsToRaw(messages, "worklist.replace") };
    this.#takeOut(message);
  }

  add(message, ...messages) {
    inHand(message, "add");
    const earlier = message.verdict?.tag === "add" ? message.verdict.val : [];
    message.verdict = { tag: "add", val: [...earlier, ...newsToRaw(messages, "worklist.add")] };
  }

  #takeOut(message) {
    for (const messages of [this.#incoming, this.#ok]) {
      const at = messages.indexOf(message);
      if (at >= 0) messages.splice(at, 1);
    }
  }

  #move(message, to) {
    this.#takeOut(message);
    if (!to.includes(message)) to.push(message);
  }

  verdicts() {
    const kept = new Set([...this.#incoming, ...this.#ok]);
    const [rejected, failed] = [new Set(listed(this.rejected, "rejected")), new Set(listed(this.failed, "failed"))];
    return this.#batch.map((message) => judge(message, kept, rejected, failed));
  }
}

// Lists win over what was said before: a message put back is kept.
function judge(message, kept, rejected, failed) {
  const said = message.verdict;
  if (kept.has(message)) {
    if (said?.tag === "add") {
      if (message.edits().length === 0) return said;
      const reason = `${message.relPath} was changed and had messages added in one call; do one of them`;
      return { tag: "fail", val: toRaw(Failure.permanent(reason)) };
    }
    if (message.untouched) return KEEP;
    const edits = message.edits();
    return edits.length === 0 ? KEEP : { tag: "update", val: edits };
  }
  if (rejected.has(message)) {
    return said?.tag === "reject" ? said : { tag: "reject", val: { code: 422, reason: "rejected by the plugin" } };
  }
  if (failed.has(message)) {
    return said?.tag === "fail" ? said : { tag: "fail", val: toRaw(Failure.temporary("the plugin could not work on it")) };
  }
  if (said?.tag === "wait" || said?.tag === "replace") return said;
  const lost = "the plugin took it out of the worklist without saying why; it has to be rejected or failed";
  return { tag: "fail", val: toRaw(Failure.permanent(lost)) };
}
