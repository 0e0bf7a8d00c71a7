// The bytes messages announce. Nothing is held in memory but a chunk, unless the plugin asks for all.

import host from "../host/content.js";
import * as check from "./check.js";
import { call } from "./failure.js";
import { decode } from "./text.js";

const CHUNK = 65536;

export class Reader {
  #raw;

  constructor(raw) {
    this.#raw = raw;
    this.size = raw.size();
  }

  read(max = CHUNK) {
    check.number(max, "the size of a read", 2 ** 32 - 1);
    return call(() => this.#raw.read(max));
  }

  *[Symbol.iterator]() {
    for (let chunk = this.read(); chunk.length > 0; chunk = this.read()) yield chunk;
  }

  bytes() {
    const whole = new Uint8Array(this.size);
    let at = 0;
    for (const chunk of this) {
      whole.set(chunk, at);
      at += chunk.length;
    }
    return whole.subarray(0, at);
  }

  text() {
    return decode(this.bytes());
  }

  close() {
    this.#raw[Symbol.dispose]?.();
  }

  giveAway() {
    return this.#raw;
  }
}

export class Writer {
  #raw;
  #parts = [];
  #held = 0;
  #handle = null;

  constructor(raw, message = null) {
    this.#raw = raw;
    this.message = message;
  }

  write(data) {
    const bytes = check.bytes(data, "what is written");
    this.#parts.push(bytes);
    this.#held += bytes.length;
    if (this.#held >= CHUNK) this.flush();
    return this;
  }

  flush() {
    const whole = new Uint8Array(this.#held);
    let at = 0;
    for (const part of this.#parts) {
      whole.set(part, at);
      at += part.length;
    }
    [this.#parts, this.#held] = [[], 0];
    for (let start = 0; start < whole.length; start += 1 << 20) {
      const piece = whole.subarray(start, start + (1 << 20));
      call(() => this.#raw.write(piece));
    }
  }

  finish() {
    if (this.#handle === null) {
      this.flush();
      const raw = this.#raw;
      this.#raw = null;
      this.#handle = call(() => host.Writer.finish(raw));
      if (this.message !== null) this.message.content = this.#handle;
    }
    return this.message ?? this.#handle;
  }

  abandon() {
    this.#raw?.[Symbol.dispose]?.();
    this.#raw = null;
  }
}

export const open = (message) => new Reader(call(() => host.open(message.id)));
export const create = (message) => new Writer(call(() => host.create(message.id)));

export function derive(message, relPath, contentType = null) {
  check.text(relPath, "`relPath` of `derive`");
  check.maybeText(contentType, "`contentType` of `derive`");
  const raw = call(() => host.derive(message.id, relPath, contentType ?? null));
  return raw === null ? null : new Writer(raw, { baseUrl: message.baseUrl, relPath, contentType });
}
