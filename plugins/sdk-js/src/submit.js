// Messages from outside the loop: a webhook's, a helper line's.

import host from "../host/submit.js";
import { call } from "./failure.js";
import { newsToRaw } from "./message.js";

export function submit(...messages) {
  const raw = newsToRaw(messages, "submit");
  call(() => host.submit(raw));
}
