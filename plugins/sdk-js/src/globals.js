// What programs expect to find everywhere and the component's engine lacks: console goes to the
// flow's log, TextEncoder and TextDecoder know UTF-8, `crypto` gives random bytes.

import random from "../host/random.js";
import * as log from "./log.js";
import { decode, encode } from "./text.js";

const shown = (value) => {
  if (typeof value === "string") return value;
  if (value instanceof Error) return `${value.name}: ${value.message}\n${value.stack ?? ""}`.trim();
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return String(value);
  }
};
const line = (level) => (...values) => log[level](values.map(shown).join(" "));

globalThis.console ??= {
  log: line("info"),
  info: line("info"),
  warn: line("warn"),
  error: line("error"),
  debug: line("debug"),
  trace: line("trace"),
};

globalThis.TextEncoder ??= class TextEncoder {
  encoding = "utf-8";
  encode(text = "") {
    return encode(String(text));
  }
};

globalThis.TextDecoder ??= class TextDecoder {
  encoding = "utf-8";
  constructor(label = "utf-8") {
    if (!/^utf-?8$/i.test(label)) throw new RangeError(`only UTF-8 is known here, and not ${label}`);
  }
  decode(bytes = new Uint8Array()) {
    const view = ArrayBuffer.isView(bytes) ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength) : new Uint8Array(bytes);
    const text = decode(view);
    return text.startsWith("\ufeff") ? text.slice(1) : text;
  }
};

globalThis.crypto ??= {
  getRandomValues(into) {
    new Uint8Array(into.buffer, into.byteOffset, into.byteLength).set(random.getRandomBytes(into.byteLength));
    return into;
  },
  randomUUID() {
    const bytes = random.getRandomBytes(16);
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
  },
};

/** The engine's own Math.random was seeded when the component was built: every instance would
 * throw the same dice. */
export function seed() {
  const words = new BigUint64Array(2);
  globalThis.crypto.getRandomValues(words);
  let [a, b] = words;
  // xorshift128+
  Math.random = () => {
    let x = a;
    a = b;
    x ^= BigInt.asUintN(64, x << 23n);
    b = x ^ a ^ (x >> 17n) ^ (a >> 26n);
    return Number(BigInt.asUintN(64, a + b) >> 11n) / 2 ** 53;
  };
}
