// `fetch` of a component, over `wasi:http`: the build puts it where a plugin, or a package of it, uses
// the global of that name, which asks for the grant `http`. Bodies are streams both ways.
//
// The host follows redirects and keeps connections: `redirect`, `cache`, `credentials`, `mode` and
// `signal` have no effect. A request ends with the call of the plugin it was made in.

import handler from "wasi:http/outgoing-handler@0.2.0";
import types from "wasi:http/types@0.2.0";
import { bytes as bytesOf } from "./check.js";
import { Failure, milliseconds } from "./failure.js";
import { hold } from "./promise.js";
import { decode, encode, toBytes } from "./text.js";

const CHUNK = 65536;
const METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
/** Codes of refusals that a person mends in the flow; what else is refused may pass. */
const DENIED = ["[plugin/capability-denied]", "[plugin/private-address]"];

/** An error code of `wasi:http`: the host puts what it says into one of them. */
function failure(code) {
  const { tag = "nothing came back", val = null } = code ?? {};
  const text = typeof val === "string" ? val : `the request failed: ${tag}`;
  return DENIED.some((code) => text.includes(code)) ? Failure.config(text) : Failure.temporary(text);
}

/** `work`, whose failing in `wasi:http` means what `otherwise` makes of it. */
function checked(work, otherwise) {
  try {
    return work();
  } catch (error) {
    throw otherwise(error?.payload);
  }
}

export class Headers {
  #all = new Map();

  constructor(given = []) {
    const pairs = typeof given[Symbol.iterator] === "function" ? given : Object.entries(given);
    for (const [name, value] of pairs) this.append(name, value);
  }

  append(name, value) {
    const has = this.get(name);
    this.set(name, has === null ? value : `${has}, ${value}`);
  }

  set(name, value) {
    this.#all.set(String(name).toLowerCase(), String(value).trim());
  }

  get(name) {
    return this.#all.get(String(name).toLowerCase()) ?? null;
  }

  has(name) {
    return this.#all.has(String(name).toLowerCase());
  }

  delete(name) {
    this.#all.delete(String(name).toLowerCase());
  }

  forEach(work, self) {
    for (const [name, value] of this) work.call(self, value, name, this);
  }

  *entries() {
    yield* [...this.#all].sort(([a], [b]) => (a < b ? -1 : 1));
  }

  *keys() {
    for (const [name] of this) yield name;
  }

  *values() {
    for (const [, value] of this) yield value;
  }

  [Symbol.iterator]() {
    return this.entries();
  }
}

/** The body of an answer: chunks, as they come. */
class Body {
  #parts;
  #release;

  constructor(head) {
    const body = head.consume();
    // What came of something has to go before it.
    this.#parts = [body.stream(), body, head];
    this.#release = hold(() => {
      for (const part of this.#parts) part[Symbol.dispose]();
      this.#parts = null;
    });
  }

  next() {
    if (this.#parts === null) return { done: true, value: undefined };
    try {
      const chunk = this.#parts[0].blockingRead(CHUNK);
      return { done: false, value: chunk instanceof Uint8Array ? chunk : Uint8Array.from(chunk) };
    } catch (error) {
      if (error?.payload?.tag === "last-operation-failed") {
        const [reason] = error.payload.val.toDebugString().split("\n");
        error.payload.val[Symbol.dispose]();
        this.return();
        throw Failure.temporary(reason);
      }
      if (error?.payload?.tag !== "closed") throw error;
      return this.return();
    }
  }

  return() {
    this.#release();
    return { done: true, value: undefined };
  }

  [Symbol.iterator]() {
    return this;
  }

  [Symbol.asyncIterator]() {
    return { next: async () => this.next(), return: async () => this.return() };
  }

  getReader() {
    return { read: async () => this.next(), cancel: async () => void this.return(), releaseLock() {} };
  }

  async cancel() {
    this.return();
  }
}

export class Response {
  bodyUsed = false;
  redirected = false;
  statusText = "";
  type = "basic";

  constructor(body = null, { status = 200, headers = {}, url = "" } = {}) {
    this.body = body;
    this.status = status;
    this.headers = headers instanceof Headers ? headers : new Headers(headers);
    this.url = url;
  }

  get ok() {
    return this.status >= 200 && this.status < 300;
  }

  async bytes() {
    if (this.bodyUsed) throw new TypeError("the body was read already");
    this.bodyUsed = true;
    if (!(this.body instanceof Body)) return toBytes(this.body ?? "");
    const chunks = [...this.body];
    const all = new Uint8Array(chunks.reduce((size, { length }) => size + length, 0));
    let at = 0;
    for (const chunk of chunks) {
      all.set(chunk, at);
      at += chunk.length;
    }
    return all;
  }

  async arrayBuffer() {
    return (await this.bytes()).buffer;
  }

  async text() {
    return decode(await this.bytes());
  }

  async json() {
    return JSON.parse(await this.text());
  }
}

/** What a request carries: how long it is, where that is known, and its chunks. */
function carried(body) {
  if (typeof body === "string" || ArrayBuffer.isView(body) || body instanceof ArrayBuffer) {
    const bytes = bytesOf(body, "the body of a request");
    return { size: bytes.length, chunks: [bytes] };
  }
  if (typeof body?.[Symbol.iterator] !== "function") {
    throw new TypeError("the body of a request is text, bytes, content, or anything that gives chunks of bytes");
  }
  return { size: typeof body.size === "number" ? body.size : null, chunks: body };
}

function write(stream, bytes) {
  while (bytes.length > 0) {
    const room = stream.checkWrite();
    if (room === 0) {
      const waiting = stream.subscribe();
      waiting.block();
      waiting[Symbol.dispose]();
      continue;
    }
    stream.write(bytes.subarray(0, room));
    bytes = bytes.subarray(room);
  }
}

function upload(outgoing, chunks) {
  const stream = outgoing.write();
  let whole = true;
  try {
    for (const chunk of chunks) {
      const bytes = bytesOf(chunk, "a chunk of a body");
      // Where nobody takes it any more, the answer says why.
      whole &&= checkedWrite(() => write(stream, bytes));
      if (!whole) break;
    }
    whole &&= checkedWrite(() => stream.blockingFlush());
  } finally {
    stream[Symbol.dispose]();
  }
  if (whole) checkedWrite(() => types.OutgoingBody.finish(outgoing, null));
}

function checkedWrite(work) {
  try {
    work();
    return true;
  } catch (error) {
    if (error?.payload === undefined) throw error;
    return false;
  }
}

const refused = (method, url) => () => Failure.config(`\`${method} ${url}\` is no request that can be made`);

function made(method, url, headers) {
  const [, scheme, authority, path] = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*)([^#]*)/i.exec(url) ?? [];
  if (authority === undefined) throw new TypeError(`\`${url}\` is no URL of a server`);
  const fields = new types.Fields();
  for (const [name, value] of headers) {
    checked(() => fields.append(name, encode(value)), () => Failure.config(`\`${name}: ${value}\` can't be a header of a request`));
  }
  const request = new types.OutgoingRequest(fields);
  const known = METHODS.includes(method.toUpperCase());
  checked(() => {
    request.setMethod(known ? { tag: method.toLowerCase() } : { tag: "other", val: method });
    const upper = scheme.toUpperCase();
    request.setScheme(upper === "HTTP" || upper === "HTTPS" ? { tag: upper } : { tag: "other", val: scheme });
    request.setAuthority(authority);
    request.setPathWithQuery(path.startsWith("/") ? path : `/${path}`);
  }, refused(method, url));
  return request;
}

function ask(input, { method = "GET", headers = {}, body = null, timeout = null } = {}) {
  const url = String(input?.href ?? input);
  const named = new Headers(headers);
  const carries = body === null ? null : carried(body);
  if (carries !== null && carries.size !== null && !named.has("content-length")) named.set("content-length", carries.size);
  if (typeof body === "string" && !named.has("content-type")) named.set("content-type", "text/plain;charset=UTF-8");
  const request = made(method, url, named);
  const options = new types.RequestOptions();
  if (timeout !== null) {
    const nanoseconds = milliseconds(timeout) * 1e6;
    options.setFirstByteTimeout(nanoseconds);
    options.setBetweenBytesTimeout(nanoseconds);
  }
  const outgoing = carries === null ? null : request.body();
  const coming = checked(() => handler.handle(request, options), failure);
  if (outgoing !== null) upload(outgoing, carries.chunks);
  const waiting = coming.subscribe();
  waiting.block();
  waiting[Symbol.dispose]();
  const answer = coming.get().val;
  coming[Symbol.dispose]();
  if (answer.tag === "err") throw failure(answer.val);
  const head = answer.val;
  const fields = head.headers();
  const pairs = fields.entries().map(([name, value]) => [name, decode(Uint8Array.from(value))]);
  fields[Symbol.dispose]();
  return new Response(new Body(head), { status: head.status(), headers: pairs, url });
}

export function fetch(input, init) {
  return new Promise((resolve) => resolve(ask(input, init)));
}
