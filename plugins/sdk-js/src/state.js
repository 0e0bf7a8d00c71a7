// Durable key/value pairs, private to this callback of this flow and shared by its instances.

import host from "../host/state.js";
import { call, milliseconds } from "./failure.js";
import { decode, toBytes } from "./text.js";

export const get = (key) => call(() => host.get(key));

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
  call(() => host.put(key, toBytes(value), seconds));
}

export const putJson = (key, value, options) => put(key, JSON.stringify(value), options);

export const remove = (key) => call(() => host.delete(key));

export function swap(key, old, next) {
  const bytes = (value) => (value === null ? null : toBytes(value));
  return call(() => host.swap(key, bytes(old), bytes(next)));
}

export function* keys(prefix = "") {
  for (let after = ""; ; ) {
    const page = call(() => host.list(prefix, after, 1000));
    if (page.length === 0) return;
    yield* page;
    after = page[page.length - 1];
  }
}
