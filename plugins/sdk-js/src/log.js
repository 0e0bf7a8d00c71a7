// The flow's log. Lines carry the flow and the plugin by themselves; never put a secret here.

import host from "../host/log.js";

export const trace = (text) => host.write("trace", String(text));
export const debug = (text) => host.write("debug", String(text));
export const info = (text) => host.write("info", String(text));
export const warn = (text) => host.write("warn", String(text));
export const error = (text) => host.write("error", String(text));
