// Why something did not work: errors, by what the engine does about them.
//
// An error of any other kind is a mistake in the plugin. It is logged with its stack and counts as
// temporary, because a wrong guess then costs time and not data.

import * as check from "./check.js";
import * as log from "./log.js";

/** Seconds as the contract counts. */
export function milliseconds(seconds) {
  if (typeof seconds !== "number" || Number.isNaN(seconds)) throw check.wrong("a time", "a number of seconds", seconds);
  return Math.max(0, Math.min(Number.MAX_SAFE_INTEGER, Math.round(seconds * 1000)));
}

const KINDS = ["temporary", "permanent", "auth", "config", "interrupted"];

export class Failure extends Error {
  constructor(kind, reason, retryAfter = null) {
    // An error may be handed on as it is; its words are the reason.
    super(check.text(reason instanceof Error ? reason.message || reason.name : reason, "the reason of a failure"));
    if (!KINDS.includes(kind)) throw check.wrong("the kind of a failure", `one of ${KINDS.join(", ")}`, kind, "`Failure.temporary(…)` or its like");
    if (retryAfter !== null) milliseconds(retryAfter);
    this.name = "Failure";
    this.kind = kind;
    this.retryAfter = retryAfter;
  }

  static temporary(reason, options = {}) {
    check.options(options, "`Failure.temporary`", "{ retryAfter: 7 }");
    const { retryAfter = null } = options;
    return new Failure("temporary", reason, retryAfter);
  }

  static permanent(reason) {
    return new Failure("permanent", reason);
  }

  static auth(reason) {
    return new Failure("auth", reason);
  }

  static config(reason) {
    return new Failure("config", reason);
  }

  static interrupted() {
    return new Failure("interrupted", "interrupted by the host");
  }
}

export class Rejected extends Error {
  constructor(code, reason) {
    check.number(code, "`code` of a rejection", 65535);
    super(check.text(reason, "`reason` of a rejection"));
    this.name = "Rejected";
    this.code = code;
  }
}

/** A failure as the contract has it. */
export function toRaw(failure) {
  switch (failure.kind) {
    case "temporary": {
      const retryAfterMs = failure.retryAfter === null ? null : milliseconds(failure.retryAfter);
      return { tag: "temporary", val: { reason: failure.message, retryAfterMs } };
    }
    case "interrupted":
      return { tag: "interrupted" };
    default:
      return { tag: failure.kind, val: failure.message };
  }
}

function ofRaw({ tag, val }) {
  if (tag === "temporary") {
    return new Failure(tag, val.reason, val.retryAfterMs === null ? null : val.retryAfterMs / 1000);
  }
  return tag === "interrupted" ? Failure.interrupted() : new Failure(tag, val);
}

/** A stack as the author knows the code: `build.mjs` leaves a table of where its lines come from. */
function stackOf(error) {
  const table = globalThis.flowPluginLines;
  const lines = String(error.stack ?? "").split("\n").map((line) => line.trim()).filter((line) => line.startsWith("at "));
  if (table === undefined) return lines;
  const named = lines.map((line) => {
    const [, at] = /user\.js:(\d+)/.exec(line) ?? [];
    const [file, from] = table.lines[at] ?? [];
    return from === undefined ? null : line.replace(/\([^)]*\)/, `(${table.files[file]}:${from})`);
  });
  // What is left without a place is the kit itself.
  return named.filter((line) => line !== null);
}

/** What an error is, and where it comes from. */
const told = (error) => [`${error.name}: ${error.message}`, ...stackOf(error)];

/** Anything thrown, for the log. */
export const shown = (thrown) => (thrown instanceof Error ? told(thrown).join("\n") : String(thrown));

/** Anything thrown, as a failure; a mistake says where it happened. */
export function ofThrown(thrown) {
  if (thrown instanceof Failure) return thrown;
  if (!(thrown instanceof Error)) return Failure.temporary(`thrown: ${String(thrown)}`);
  const lines = told(thrown);
  log.error(lines.join("\n"));
  return Failure.temporary(lines.slice(0, 2).join(" "));
}

/** Calls into the host: its failures come out as `Failure`. */
export function call(work) {
  try {
    return work();
  } catch (error) {
    const raw = error?.payload;
    throw raw?.tag === undefined ? error : ofRaw(raw);
  }
}

/** Calls into the plugin: whatever it throws ends the call of the contract as a failure. */
export function guard(work) {
  try {
    return work();
  } catch (error) {
    throw toRaw(ofThrown(error));
  }
}
