// Numbers for `flow status` and the metrics.

import host from "../host/metrics.js";
import * as check from "./check.js";

export const count = (name, by = 1) => host.count(check.text(name, "the name of a counter"), check.number(by, "what a counter grows by"));

export function gauge(name, value) {
  if (typeof value !== "number") throw check.wrong("the value of a gauge", "a number", value);
  host.gauge(check.text(name, "the name of a gauge"), value);
}

export function progress(what, done, total = 0, unit = "messages") {
  check.text(what, "the first parameter of `metrics.progress`");
  check.number(done, "`done` of `metrics.progress`");
  check.number(total, "`total` of `metrics.progress`");
  check.text(unit, "`unit` of `metrics.progress`");
  host.progress(what, done, total, unit);
}
