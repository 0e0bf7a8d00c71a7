// The JavaScript side of flow's plugin contract; index.d.ts is its manual.

export { Failure, Rejected } from "./failure.js";
export { option } from "./options.js";
export { formatTime, parseTime } from "./time.js";
export { decode, encode } from "./text.js";
export { connect } from "./connection.js";
export { submit } from "./submit.js";
export * as http from "./http.js";
export * as lines from "./lines.js";
export * as log from "./log.js";
export * as metrics from "./metrics.js";
export * as secret from "./secret.js";
export * as state from "./state.js";

/** A plugin: what it is, and a method for each entry point it serves. */
export function definePlugin(plugin) {
  return plugin;
}
