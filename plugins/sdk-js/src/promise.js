// Promises that are done when a call is done. The engine of the component never runs what its own
// promises put off, so that here are others: `component.js` puts them in the place of the global,
// and the build turns `async` functions into what uses that.
//
// Nothing waits for the world here: every call of the host returns when it is done. What is put off
// runs before the plugin's method counts as done, so a promise that is still open then never ends.

import { shown } from "./failure.js";
import * as log from "./log.js";

const queue = [];
/** Rejected, and nobody has looked yet. */
const lost = new Set();
/** What has to be let go of when a call ends. */
const held = new Set();

/** Runs `work` after what runs now. */
export function later(work) {
  queue.push(work);
}

function drain() {
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) next();
}

/** Keeps something until the call ends, which then calls `close`; returns how to let go earlier. */
export function hold(close) {
  held.add(close);
  return () => {
    if (held.delete(close)) close();
  };
}

/** Runs one call of the contract into the plugin to its end: `async` or not. */
export function whole(work) {
  try {
    const value = work();
    if (typeof value?.then !== "function") return value;
    let end = null;
    value.then((result) => (end = { result }), (error) => (end = { error }));
    drain();
    if (end === null) throw new Error("an `async` method waits for something that never comes: nothing but calls of the host is waited for");
    if ("error" in end) throw end.error;
    return end.result;
  } finally {
    drain();
    for (const close of held) close();
    held.clear();
    for (const { reason } of lost) log.error(`a promise was rejected and nobody looked: ${shown(reason)}`);
    lost.clear();
  }
}

const [PENDING, DONE, REJECTED] = [0, 1, 2];

export class Promised {
  #state = PENDING;
  #value;
  #waiting = [];

  constructor(executor) {
    const [resolve, reject] = this.#ways();
    try {
      executor(resolve, reject);
    } catch (error) {
      reject(error);
    }
  }

  /** Once one of both was called, neither does anything. */
  #ways() {
    let open = true;
    const once = (work) => (value) => {
      if (!open) return;
      open = false;
      work(value);
    };
    return [once((value) => this.#resolve(value)), once((error) => this.#settle(REJECTED, error))];
  }

  #resolve(value) {
    if (value === this) return this.#settle(REJECTED, new TypeError("a promise can't wait for itself"));
    let then;
    try {
      then = Object(value) === value ? value.then : undefined;
    } catch (error) {
      return this.#settle(REJECTED, error);
    }
    if (typeof then !== "function") return this.#settle(DONE, value);
    const [resolve, reject] = this.#ways();
    later(() => {
      try {
        then.call(value, resolve, reject);
      } catch (error) {
        reject(error);
      }
    });
  }

  #settle(state, value) {
    this.#state = state;
    this.#value = value;
    if (state === REJECTED && this.#waiting.length === 0) lost.add(this);
    for (const tell of this.#waiting) later(tell);
    this.#waiting = [];
  }

  get reason() {
    return this.#value;
  }

  then(fulfilled, rejected) {
    lost.delete(this);
    return new Promised((resolve, reject) => {
      const tell = () => {
        const ours = this.#state === DONE ? fulfilled : rejected;
        if (typeof ours !== "function") return this.#state === DONE ? resolve(this.#value) : reject(this.#value);
        try {
          resolve(ours(this.#value));
        } catch (error) {
          reject(error);
        }
      };
      if (this.#state === PENDING) this.#waiting.push(tell);
      else later(tell);
    });
  }

  catch(rejected) {
    return this.then(undefined, rejected);
  }

  finally(work) {
    return this.then(
      (value) => Promised.resolve(work?.()).then(() => value),
      (error) =>
        Promised.resolve(work?.()).then(() => {
          throw error;
        }),
    );
  }

  get [Symbol.toStringTag]() {
    return "Promise";
  }

  static resolve(value) {
    return value instanceof Promised ? value : new Promised((resolve) => resolve(value));
  }

  static reject(error) {
    return new Promised((_, reject) => reject(error));
  }

  static try(work, ...given) {
    return new Promised((resolve) => resolve(work(...given)));
  }

  static withResolvers() {
    const made = {};
    made.promise = new Promised((resolve, reject) => Object.assign(made, { resolve, reject }));
    return made;
  }

  static race(all) {
    return new Promised((resolve, reject) => {
      for (const one of all) Promised.resolve(one).then(resolve, reject);
    });
  }

  static allSettled(all) {
    const told = Array.from(all, (one) =>
      Promised.resolve(one).then(
        (value) => ({ status: "fulfilled", value }),
        (reason) => ({ status: "rejected", reason }),
      ),
    );
    return Promised.all(told);
  }

  static all(all) {
    return new Promised((resolve, reject) => {
      const values = counted(all, resolve);
      values.each((one, put) => one.then(put, reject));
    });
  }

  static any(all) {
    return new Promised((resolve, reject) => {
      const errors = counted(all, (list) => reject(new AggregateError(list, "all promises were rejected")));
      errors.each((one, put) => one.then(resolve, put));
    });
  }
}

/** A place for each of `all`; `full` gets the places once all are taken. */
function counted(all, full) {
  const list = Array.from(all, (one) => Promised.resolve(one));
  const places = new Array(list.length);
  let left = list.length;
  if (left === 0) full(places);
  const put = (at) => (value) => {
    places[at] = value;
    left -= 1;
    if (left === 0) full(places);
  };
  return { each: (work) => list.forEach((one, at) => work(one, put(at))) };
}
