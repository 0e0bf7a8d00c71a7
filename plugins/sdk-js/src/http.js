// HTTP requests through the host's client. Using this asks for the grant `http`.

import host from "../host/http.js";
import * as check from "./check.js";
import { Reader } from "./content.js";
import { call, milliseconds } from "./failure.js";
import { decode } from "./text.js";

function header(headers, name) {
  const found = headers.find(([other]) => other.toLowerCase() === name.toLowerCase());
  return found === undefined ? null : found[1];
}

class Response {
  constructor(raw) {
    this.status = raw.status;
    this.headers = raw.headers;
    this.body = raw.body instanceof Uint8Array ? raw.body : new Uint8Array(raw.body);
  }

  get ok() {
    return this.status >= 200 && this.status < 300;
  }

  text() {
    return decode(this.body);
  }

  json() {
    return JSON.parse(this.text());
  }

  header(name) {
    return header(this.headers, name);
  }
}

export function send(method, url, options = {}) {
  check.text(method, "the method of a request");
  check.text(url, "the URL of a request");
  check.options(options, "a request", "{ body: … }");
  const { headers = {}, body: given = null, json, content = null, timeout = null } = options;
  const all = check.pairs(headers, "`headers` of a request");
  let body = given;
  if (json !== undefined) {
    body = JSON.stringify(json);
    if (header(all, "content-type") === null) all.push(["content-type", "application/json"]);
  }
  let carried = { tag: "none" };
  if (content !== null && !(content instanceof Reader)) {
    throw check.wrong("`content` of a request", "an open message", content, "{ content: message.open() }, or { body: … }");
  }
  if (content !== null) carried = { tag: "content", val: content.giveAway() };
  else if (body !== null) carried = { tag: "bytes", val: check.bytes(body, "`body` of a request") };
  const timeoutMs = timeout === null ? null : milliseconds(timeout);
  return new Response(call(() => host.send({ method, url, headers: all, body: carried, timeoutMs })));
}

export const get = (url, options) => send("GET", url, options);
export const post = (url, options) => send("POST", url, options);
