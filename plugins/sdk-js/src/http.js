// HTTP requests through the host's client. Using this asks for the grant `http`.

import host from "../host/http.js";
import { call, milliseconds } from "./failure.js";
import { decode, toBytes } from "./text.js";

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

export function send(method, url, { headers = {}, body = null, json, content = null, timeout = null } = {}) {
  const all = Object.entries(headers);
  if (json !== undefined) {
    body = JSON.stringify(json);
    if (header(all, "content-type") === null) all.push(["content-type", "application/json"]);
  }
  let carried = { tag: "none" };
  if (content !== null) carried = { tag: "content", val: content.giveAway() };
  else if (body !== null) carried = { tag: "bytes", val: toBytes(body) };
  const timeoutMs = timeout === null ? null : milliseconds(timeout);
  return new Response(call(() => host.send({ method, url, headers: all, body: carried, timeoutMs })));
}

export const get = (url, options) => send("GET", url, options);
export const post = (url, options) => send("POST", url, options);
