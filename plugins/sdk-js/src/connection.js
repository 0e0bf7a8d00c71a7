// Byte streams to a server; the host dials and speaks TLS. Using this asks for the grant `connect`.

import host from "../host/connection.js";
import * as check from "./check.js";
import { Failure, call, milliseconds } from "./failure.js";
import { decode } from "./text.js";

const closed = () => Failure.temporary("the peer closed the connection in the middle of an answer");

function join(parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

class Stream {
  #raw;
  #ahead = new Uint8Array();

  constructor(raw) {
    this.#raw = raw;
  }

  read(max = 65536) {
    if (this.#ahead.length > 0) {
      const chunk = this.#ahead.slice(0, max);
      this.#ahead = this.#ahead.slice(max);
      return chunk;
    }
    check.number(max, "the size of a read", 2 ** 32 - 1);
    return call(() => this.#raw.read(max));
  }

  readExactly(size) {
    const parts = [];
    for (let left = size; left > 0; ) {
      const chunk = this.read(left);
      if (chunk.length === 0) throw closed();
      parts.push(chunk);
      left -= chunk.length;
    }
    return join(parts);
  }

  readLine(limit = 65536) {
    let line = new Uint8Array();
    for (let end = -1; ; ) {
      end = line.indexOf(10);
      if (end >= 0) {
        this.#ahead = join([line.slice(end + 1), this.#ahead]);
        return decode(line.slice(0, end)).replace(/\r$/, "");
      }
      if (line.length > limit) throw Failure.temporary(`the peer sent a line of more than ${limit} bytes`);
      const chunk = this.read();
      if (chunk.length === 0) throw closed();
      line = join([line, chunk]);
    }
  }

  write(data) {
    const bytes = check.bytes(data, "what is written");
    call(() => this.#raw.write(bytes));
  }

  startTls() {
    call(() => this.#raw.startTls());
  }

  setTimeout(seconds) {
    this.#raw.setTimeout(seconds === null ? 0 : milliseconds(seconds));
  }

  close() {
    this.#raw[Symbol.dispose]();
  }
}

export function connect(hostname, port, { tls = true } = {}) {
  check.text(hostname, "the host of a connection");
  check.number(port, "the port of a connection", 65535);
  return new Stream(call(() => host.connect(hostname, port, tls ? "tls" : "plain")));
}
