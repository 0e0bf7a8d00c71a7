// What plugins give to the kit, checked where they give it.
//
// A component can't say what is wrong with a value of another type than the contract's: it crashes.
// So every value is looked at while the author's line is still on the stack, and what is said names
// the parameter, what it takes and what it got.

import { toBytes } from "./text.js";

/** A value with its type, short enough for a log line. */
export function shown(value) {
  if (value === undefined || value === null) return String(value);
  if (typeof value?.then === "function") return "a promise";
  const type = typeof value === "object" ? (value.constructor?.name ?? "object") : typeof value;
  let text;
  try {
    text = ["object", "string"].includes(typeof value) ? JSON.stringify(value) : String(value);
  } catch {
    text = Object.prototype.toString.call(value);
  }
  return `${text.length > 60 ? `${text.slice(0, 57)}...` : text}, of type ${type}`;
}

/** The error for a value that is no such thing. */
export function wrong(what, takes, value, write = "") {
  const advice = typeof value?.then === "function" ? "`await` before it" : write;
  return new TypeError(`${what} is ${takes}, and not ${shown(value)}${advice === "" ? "" : `; write ${advice}`}`);
}

const isBytes = (value) => ArrayBuffer.isView(value) || value instanceof ArrayBuffer;

export function text(value, what) {
  if (typeof value !== "string") throw wrong(what, "text", value, isBytes(value) ? "`decode(…)` around it" : "");
  return value;
}

export const maybeText = (value, what) => (value === null || value === undefined ? null : text(value, what));

/** A whole number from 0 to `most`. */
export function number(value, what, most = Number.MAX_SAFE_INTEGER) {
  if (typeof value !== "number" || !Number.isInteger(value)) {
    throw wrong(what, "a whole number", value, typeof value === "string" && /^\d+$/.test(value) ? value : "");
  }
  if (value < 0 || value > most) throw new RangeError(`${what} is a whole number from 0 to ${most}, and not ${value}`);
  return value;
}

export const maybeNumber = (value, what) => (value === null || value === undefined ? null : number(value, what));

/** Bytes, or text as UTF-8. */
export function bytes(value, what) {
  if (typeof value === "string") return toBytes(value);
  if (value instanceof Uint8Array) return value;
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  const write = typeof value === "object" && value !== null ? "`JSON.stringify(…)` around it" : "";
  throw wrong(what, "text, or bytes in a Uint8Array", value, write);
}

/** Headers of HTTP, from an object, a Map, or pairs; numbers become text. */
export function pairs(value, what) {
  if (typeof value !== "object" || value === null) throw wrong(what, "an object", value, '{ "content-type": "text/plain" }');
  const given = typeof value[Symbol.iterator] === "function" ? [...value] : Object.entries(value);
  return given.map((pair) => {
    if (!Array.isArray(pair) || pair.length !== 2) throw wrong(what, "an object", value, '{ "content-type": "text/plain" }');
    const [name, one] = pair;
    text(name, `a name in ${what}`);
    return [name, text(typeof one === "number" ? String(one) : one, `\`${name}\` in ${what}`)];
  });
}

// Things JSON makes nothing of, and what to write for them.
const LOST = [
  [isBytes, "`decode(…)` around it"],
  [(value) => value instanceof Map, "`Object.fromEntries(…)` around it"],
  [(value) => value instanceof Set, "`[...…]` around it"],
  [(value) => typeof value?.then === "function", "`await` before it"],
  [(value) => typeof value === "number" && !Number.isFinite(value), ""],
];

/** A header of a message; null takes it away. */
export function header(name, value) {
  text(name, "the name of a header");
  if (typeof value === "string") return;
  const lost = LOST.find(([is]) => is(value));
  let json;
  try {
    json = JSON.stringify(value);
  } catch {
    // A BigInt, or something that holds itself.
  }
  if (lost !== undefined || json === undefined) {
    throw wrong(`header \`${name}\``, "text, or something JSON has", value, lost?.[1] ?? "");
  }
}

export function identity(value, what) {
  if (value === null || value === undefined) return null;
  if (typeof value !== "object") throw wrong(what, "an identity, or null", value, '{ method: "sha512", value: "…" }');
  text(value.method, `\`method\` of ${what}`);
  text(value.value, `\`value\` of ${what}`);
  return { method: value.method, value: value.value };
}

/** The options at the end of a call. */
export function options(value, what, example) {
  if (typeof value !== "object" || value === null) throw wrong(`the last parameter of ${what}`, "an object", value, example);
}
