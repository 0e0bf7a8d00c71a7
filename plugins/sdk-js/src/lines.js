// Lines to whoever talks to this flow as a helper.

import host from "../host/lines.js";
import * as check from "./check.js";
import { call } from "./failure.js";

export function write(peer, text) {
  check.number(peer, "the peer of `lines.write`");
  check.text(text, "the text of `lines.write`");
  call(() => host.write(peer, text));
}
