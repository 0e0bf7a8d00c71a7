// Messages in hand. One keeps what the host gave and notes what is assigned to it; only those
// changes go back. Nothing is copied for a message nobody looks at.

import * as content from "./content.js";

const EDITS = {
  pubTime: "pub-time",
  baseUrl: "base-url",
  relPath: "rel-path",
  retrievePath: "retrieve-path",
  size: "size",
  mtime: "mtime",
  contentType: "content-type",
  identity: "identity",
  directory: "directory",
  filename: "filename",
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
    for (const name of Object.keys(EDITS)) {
      Object.defineProperty(this.prototype, name, {
        enumerable: true,
        get() {
          const changes = this.#changes;
          return changes !== null && name in changes ? changes[name] : this.#raw[name];
        },
        set(value) {
          this.#changes ??= {};
          this.#changes[name] = value;
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
    for (const [name, val] of Object.entries(this.#changes ?? {})) edits.push({ tag: EDITS[name], val });
    for (const [name, value] of this.#headers?.changed ?? []) {
      edits.push({ tag: "header", val: [name, value === null ? null : fromValue(value)] });
    }
    return edits;
  }
}

/** A message a plugin makes, as the contract has it. */
export function newToRaw(message) {
  const headers = Object.entries(message.headers ?? {}).map(([name, value]) => ({ name, value: fromValue(value) }));
  return {
    pubTime: message.pubTime ?? "",
    baseUrl: message.baseUrl,
    relPath: message.relPath,
    retrievePath: message.retrievePath ?? null,
    size: message.size ?? null,
    mtime: message.mtime ?? null,
    contentType: message.contentType ?? null,
    identity: message.identity ?? null,
    headers,
    content: message.content ?? null,
  };
}
