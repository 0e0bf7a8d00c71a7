// Durable key/value pairs, private to this callback of this flow and shared by its instances.

import host from "../host/state.js";
import * as check from "./check.js";
import { call, milliseconds } from "./failure.js";
import { decode } from "./text.js";

const keyed = (key) => check.text(key, "a key of the state");
const valued = (value) => check.bytes(value, "a value of the state");

export function get(key) {
  keyed(key);
  return call(() => host.get(key));
}

export function getText(key) {
  const value = get(key);
  return value === null ? null : decode(value);
}

export function getJson(key) {
  const text = getText(key);
  return text === null ? null : JSON.parse(text);
}

export function put(key, value, { ttl = null } = {}) {
  const seconds = ttl === null ? null : Math.ceil(milliseconds(ttl) / 1000);
  const bytes = valued(value);
  keyed(key);
  call(() => host.put(key, bytes, seconds));
}

export function putJson(key, value, options) {
  const json = JSON.stringify(value);
  if (json === undefined) throw check.wrong("a value of the state", "something JSON has", value);
  put(key, json, options);
}

export function remove(key) {
  keyed(key);
  call(() => host.delete(key));
}

export function swap(key, old, next) {
  keyed(key);
  const [before, after] = [old, next].map((value) => (value === null ? null : valued(value)));
  return call(() => host.swap(key, before, after));
}

export function* keys(prefix = "") {
  check.text(prefix, "the prefix of keys");
  for (let after = ""; ; ) {
    const page = call(() => host.list(prefix, after, 1000));
    if (page.length === 0) return;
    yield* page;
    after = page[page.length - 1];
  }
}
