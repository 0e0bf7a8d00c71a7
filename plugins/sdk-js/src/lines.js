// Lines to whoever started this flow as a helper.

import host from "../host/lines.js";
import { call } from "./failure.js";

export const write = (text) => call(() => host.write(text));
