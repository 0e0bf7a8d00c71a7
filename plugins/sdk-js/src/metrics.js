// Numbers for `flow status` and the metrics.

import host from "../host/metrics.js";

export const count = (name, by = 1) => host.count(name, by);
export const gauge = (name, value) => host.gauge(name, value);
export const progress = (what, done, total = 0, unit = "messages") => host.progress(what, done, total, unit);
