// A host in memory, for a plugin's own tests in Node, without WebAssembly. Nothing here checks
// grants or limits: that is the real host's business, see `flow plugin test`.

import { standIn } from "../host/stand-in.js";
import { HttpRequest, answered, make } from "./export.js";
import { Failure, toRaw } from "./failure.js";
import { Message } from "./message.js";
import { specs } from "./options.js";
import { Worklist } from "./worklist.js";
import { toBytes } from "./text.js";

const SIZES = { B: 1, kB: 1e3, MB: 1e6, GB: 1e9, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };
const TIMES = { ms: 1, s: 1e3, m: 6e4, h: 36e5, d: 864e5, w: 6048e5 };

function units(text, table) {
  const [, number, unit] = /^([\d.]+)\s*([A-Za-z]+)$/.exec(text) ?? [];
  if (!(unit in table)) throw new TypeError(`\`${text}\` needs a unit: ${Object.keys(table).join(", ")}`);
  return Math.round(Number(number) * table[unit]);
}

/** A value as a flow or a test writes it, as the host gives it. */
function setting(spec, value) {
  if (spec.repeated) {
    const list = Array.isArray(value) ? value : value.slice(1, -1).split(",").map((item) => item.trim().replace(/^'|'$/g, ""));
    return { tag: "list", val: list };
  }
  switch (spec.kind) {
    case "flag":
      return { tag: "flag", val: value === true || value === "on" };
    case "count":
      return { tag: "count", val: Number(value) };
    case "size":
      return { tag: "size", val: typeof value === "string" ? units(value, SIZES) : value };
    case "duration":
      return { tag: "duration", val: typeof value === "string" ? units(value, TIMES) : value * 1000 };
    default:
      if (spec.kind === "choice" && !spec.choices.includes(value)) {
        throw new TypeError(`option \`${spec.name}\` is one of ${spec.choices.join(", ")}, not \`${value}\``);
      }
      return { tag: "text", val: value };
  }
}

const inWords = (work) => {
  try {
    return work();
  } catch (error) {
    throw error instanceof Failure ? Object.assign(new Error(error.message), { payload: toRaw(error) }) : error;
  }
};
const fail = (failure) => Object.assign(new Error(failure.message), { payload: toRaw(failure) });
const valueOf = (value) => (typeof value === "string" ? { tag: "text", val: value } : { tag: "json", val: JSON.stringify(value) });

/** What comes after a call, at once or once it is awaited. */
const then = (value, next) => (typeof value?.then === "function" ? value.then(next) : next(value));

class RawReader {
  #bytes;
  #at = 0;

  constructor(bytes) {
    this.#bytes = bytes;
  }

  read(max) {
    const chunk = this.#bytes.slice(this.#at, this.#at + max);
    this.#at += chunk.length;
    return chunk;
  }

  size() {
    return this.#bytes.length;
  }
}

class RawWriter {
  #bytes = [];
  #done;

  constructor(done) {
    this.#done = done;
  }

  write(data) {
    this.#bytes.push(...data);
  }

  static finish(writer) {
    return writer.#done(Uint8Array.from(writer.#bytes));
  }
}

export class Host {
  content = {};
  derived = {};
  wanted = () => true;
  state = {};
  credentials = {};
  tokens = {};
  answer = (request) => {
    throw Failure.temporary(`nobody answers at ${request.url}`);
  };
  requests = [];
  dial = (hostname, port) => {
    throw Failure.temporary(`nobody listens at ${hostname}:${port}`);
  };
  logged = [];
  counted = {};
  submitted = [];
  lines = [];
  #messages = [];
  #handles = 0;

  constructor() {
    standIn(this.#interfaces());
    // `fetch` of plugins, which is the global one here.
    globalThis.fetch = async (input, init) => this.#fetch(String(input?.href ?? input), init);
  }

  start(plugin, options = {}, context = {}) {
    const given = new Map();
    const known = specs(plugin.options ?? {});
    const unknown = Object.keys(options).find((name) => !known.some((spec) => spec.name === name));
    if (unknown !== undefined) throw new TypeError(`the plugin has no option \`${unknown}\``);
    for (const spec of known) {
      const value = options[spec.name] ?? spec.default;
      if (value !== null && value !== undefined) given.set(spec.name, setting(spec, value));
      else if (spec.required) throw new TypeError(`option \`${spec.name}\` has to be set`);
    }
    const where = { flow: "flow/test", kind: "flow", instance: 0, downloads: true, pollUrl: null, ...context };
    const it = make(plugin, given, where);
    return then(it.start?.(), () => it);
  }

  /** A message to give to the plugin. */
  message(relPath, fields = {}) {
    const { headers = {}, ...rest } = fields;
    const raw = {
      id: this.#messages.length,
      key: `key-${relPath}`,
      attempt: 0,
      pubTime: "20260101T000000.0",
      baseUrl: "https://example.org/",
      relPath,
      retrievePath: null,
      size: null,
      mtime: null,
      contentType: null,
      identity: null,
      directory: null,
      filename: null,
      headers: Object.entries(headers).map(([name, value]) => ({ name, value: valueOf(value) })),
      ...rest,
    };
    const message = new Message(raw);
    this.#messages.push(message);
    return message;
  }

  afterAccept(plugin, ...messages) {
    return this.#judge("incoming", (worklist) => plugin.afterAccept(worklist), messages);
  }

  afterWork(plugin, ...messages) {
    return this.#judge("ok", (worklist) => plugin.afterWork(worklist), messages);
  }

  request(plugin, fields = {}) {
    const { body = "", headers = {}, ...rest } = fields;
    const raw = { method: "GET", path: "", query: "", peer: "127.0.0.1", ...rest };
    const answer = plugin.request(new HttpRequest({ ...raw, headers: Object.entries(headers), body: toBytes(body) }));
    return then(answer, (given) => (answered(given), given));
  }

  download(plugin, message) {
    return then(plugin.download(message), () => this.content[message.relPath]);
  }

  #judge(list, work, messages) {
    const worklist = new Worklist({ [list]: messages });
    const names = messages.map((message) => message.relPath);
    return then(work(worklist), () => this.#judged(worklist, names));
  }

  #judged(worklist, names) {
    const judged = { worklist, verdicts: {}, rejections: {}, failures: {}, made: [] };
    worklist.verdicts().forEach(({ tag, val }, at) => {
      judged.verdicts[names[at]] = tag;
      if (tag === "reject") judged.rejections[names[at]] = [val.code, val.reason];
      if (tag === "fail") judged.failures[names[at]] = val.val?.reason ?? val.val ?? "interrupted";
      if (tag === "replace" || tag === "add") judged.made.push(...val.map((made) => made.relPath));
    });
    return judged;
  }

  #derive(relPath) {
    const name = relPath.slice(relPath.lastIndexOf("/") + 1);
    if (["", ".", ".."].includes(name) || /[\p{Cc}\\]/u.test(name)) {
      throw fail(Failure.permanent(`\`${relPath}\` does not end in a usable file name`));
    }
    if (!this.wanted(relPath)) return null;
    return new RawWriter((bytes) => {
      this.derived[relPath] = bytes;
      this.#handles += 1;
      return this.#handles;
    });
  }

  #open(id) {
    const { relPath } = this.#messages[id];
    if (!(relPath in this.content)) {
      throw fail(Failure.permanent(`${relPath} has no content: set host.content["${relPath}"]`));
    }
    return new RawReader(toBytes(this.content[relPath]));
  }

  #put(key, value) {
    if (key.length > 1024 || value.length > 1 << 20) throw fail(Failure.permanent(`the pair \`${key}\` is too large to store`));
    this.state[key] = value;
  }

  #swap(key, old, next) {
    const same = (a, b) => (a === null || b === null ? a === b : a.length === b.length && a.every((byte, at) => byte === b[at]));
    if (!same(this.state[key] ?? null, old)) return false;
    if (next === null) delete this.state[key];
    else this.#put(key, next);
    return true;
  }

  #send({ method, url, headers, body, timeoutMs }) {
    const bytes = { none: () => new Uint8Array(), bytes: () => body.val, content: () => body.val.read(Infinity) }[body.tag]();
    const request = { method, url, headers: Object.fromEntries(headers), body: bytes, timeoutMs };
    this.requests.push(request);
    const { status = 200, headers: answered = {}, body: answer = "" } = inWords(() => this.answer(request));
    return { status, headers: Object.entries(answered), body: toBytes(answer) };
  }

  #fetch(url, { method = "GET", headers = {}, body = null, timeout = null } = {}) {
    const given = body === null || typeof body === "string" || ArrayBuffer.isView(body) ? toBytes(body ?? "") : Buffer.concat([...body]);
    const request = { method, url, headers: Object.fromEntries(new Headers(headers)), body: given, timeoutMs: timeout === null ? null : timeout * 1000 };
    this.requests.push(request);
    const { status = 200, headers: answered = {}, body: answer = null } = this.answer(request);
    return new Response([204, 205, 304].includes(status) ? null : answer, { status, headers: answered });
  }

  #found(table, url, what) {
    if (url in table) return table[url];
    throw fail(Failure.config(`credentials.conf has no ${what} for ${url}`));
  }

  #interfaces() {
    return {
      log: { write: (level, text) => this.logged.push([level, text]) },
      metrics: {
        count: (name, by) => (this.counted[name] = (this.counted[name] ?? 0) + by),
        gauge: (name, value) => (this.counted[name] = value),
        progress() {},
      },
      state: {
        get: (key) => this.state[key] ?? null,
        put: (key, value) => this.#put(key, value),
        delete: (key) => delete this.state[key],
        swap: (key, old, next) => this.#swap(key, old, next),
        list: (prefix, after, limit) =>
          Object.keys(this.state).filter((key) => key.startsWith(prefix) && key > after).sort().slice(0, limit),
      },
      content: {
        open: (id) => this.#open(id),
        create: (id) => new RawWriter((bytes) => ((this.content[this.#messages[id].relPath] = bytes), 0)),
        derive: (_, relPath) => this.#derive(relPath),
        Writer: RawWriter,
      },
      secret: {
        credential: (url) => {
          const { user, password, options = {} } = this.#found(this.credentials, url, "line");
          return { user, password, options: Object.entries(options) };
        },
        bearerToken: (url) => this.#found(this.tokens, url, "token"),
      },
      http: { send: (request) => this.#send(request) },
      connection: { connect: (hostname, port, security) => inWords(() => this.dial(hostname, port, security === "tls")) },
      submit: { submit: (messages) => this.submitted.push(...messages) },
      lines: { write: (peer, text) => this.lines.push([peer, text]) },
    };
  }
}
