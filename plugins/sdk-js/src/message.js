// Messages in hand. One keeps what the host gave and notes what is assigned to it; only those
// changes go back. Nothing is copied for a message nobody looks at.

import * as check from "./check.js";
import * as content from "./content.js";

// What each field of a message is to the contract, and the check of what it can hold.
const EDITS = {
  pubTime: ["pub-time", check.text],
  baseUrl: ["base-url", check.text],
  relPath: ["rel-path", check.text],
  retrievePath: ["retrieve-path", check.maybeText],
  size: ["size", check.maybeNumber],
  mtime: ["mtime", check.maybeText],
  contentType: ["content-type", check.maybeText],
  identity: ["identity", check.identity],
  directory: ["directory", check.text],
  filename: ["filename", check.text],
};

const toValue = ({ tag, val }) => (tag === "text" ? val : JSON.parse(val));

function fromValue(value) {
  return typeof value === "string" ? { tag: "text", val: value } : { tag: "json", val: JSON.stringify(value) };
}

/** The headers of a message: a Map that notes its changes. */
class Headers extends Map {
  constructor(raw) {
    super();
    this.changed = new Map();
    for (const { name, value } of raw) super.set(name, toValue(value));
  }

  set(name, value) {
    check.header(name, value);
    // `Map` calls this while it is made, before there is anything to note changes in.
    this.changed?.set(name, value);
    return super.set(name, value);
  }

  delete(name) {
    if (this.has(name)) this.changed.set(name, null);
    return super.delete(name);
  }

  clear() {
    for (const name of [...this.keys()]) this.delete(name);
  }
}

export class Message {
  #raw;
  #changes = null;
  #headers = null;
  verdict = null;

  constructor(raw) {
    this.#raw = raw;
  }

  static {
    for (const [name, [, checked]] of Object.entries(EDITS)) {
      Object.defineProperty(this.prototype, name, {
        enumerable: true,
        get() {
          const changes = this.#changes;
          return changes !== null && name in changes ? changes[name] : this.#raw[name];
        },
        set(value) {
          this.#changes ??= Object.create(null);
          this.#changes[name] = checked(value, `\`${name}\` of a message`);
        },
      });
    }
  }

  get id() {
    return this.#raw.id;
  }

  get key() {
    return this.#raw.key;
  }

  get attempt() {
    return this.#raw.attempt;
  }

  get headers() {
    this.#headers ??= new Headers(this.#raw.headers);
    return this.#headers;
  }

  get url() {
    return `${this.baseUrl.replace(/\/+$/, "")}/${this.relPath.replace(/^\/+/, "")}`;
  }

  open() {
    return content.open(this);
  }

  create() {
    return content.create(this);
  }

  derive(relPath, contentType = null) {
    return content.derive(this, relPath, contentType);
  }

  /** Whether nothing was done to it; cheap. */
  get untouched() {
    return this.#changes === null && this.#headers === null;
  }

  edits() {
    const edits = [];
    for (const [name, val] of Object.entries(this.#changes ?? {})) edits.push({ tag: EDITS[name][0], val });
    for (const [name, value] of this.#headers?.changed ?? []) {
      edits.push({ tag: "header", val: [name, value === null ? null : fromValue(value)] });
    }
    return edits;
  }
}

/** A message a plugin makes, as the contract has it. */
function newToRaw(message) {
  const of = (name) => `\`${name}\` of a new message`;
  const given = message.headers ?? {};
  if (typeof given !== "object") throw check.wrong(of("headers"), "an object", given, '{ name: "value" }');
  const headers = (given instanceof Map ? [...given] : Object.entries(given)).map(([name, value]) => {
    check.header(name, value);
    return { name, value: fromValue(value) };
  });
  return {
    pubTime: check.maybeText(message.pubTime, of("pubTime")) ?? "",
    baseUrl: check.text(message.baseUrl, of("baseUrl")),
    relPath: check.text(message.relPath, of("relPath")),
    retrievePath: check.maybeText(message.retrievePath, of("retrievePath")),
    size: check.maybeNumber(message.size, of("size")),
    mtime: check.maybeText(message.mtime, of("mtime")),
    contentType: check.maybeText(message.contentType, of("contentType")),
    identity: check.identity(message.identity, of("identity")),
    headers,
    content: check.maybeNumber(message.content, of("content")),
  };
}

/** Messages a plugin makes; `what` is where they were given. */
export function newsToRaw(messages, what) {
  return messages.map((message) => {
    if (typeof message === "object" && message !== null && !Array.isArray(message) && !(message instanceof Message)) {
      return newToRaw(message);
    }
    let write = "{ baseUrl, relPath }";
    if (message instanceof Message) write = "{ baseUrl: message.baseUrl, relPath: message.relPath }: one in hand can't be made again";
    if (Array.isArray(message)) write = { gather: "one array of them", submit: "submit(...messages)" }[what] ?? `${what}(message, ...messages)`;
    throw check.wrong(`each message of \`${what}\``, "an object", message, write);
  });
}
