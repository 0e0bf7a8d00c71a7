// Messages from outside the loop: a webhook's, a helper line's.

import host from "../host/submit.js";
import { call } from "./failure.js";
import { newToRaw } from "./message.js";

export const submit = (...messages) => call(() => host.submit(messages.map(newToRaw)));
