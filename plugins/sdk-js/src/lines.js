// Lines to whoever talks to this flow as a helper.

import host from "../host/lines.js";
import { call } from "./failure.js";

export const write = (peer, text) => call(() => host.write(peer, text));
