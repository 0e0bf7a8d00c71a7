// Credentials of the flow's credentials.conf. Using this asks for the grant `secrets`.

import host from "../host/secret.js";
import * as check from "./check.js";
import { call } from "./failure.js";

export function credential(url) {
  check.text(url, "the URL of `secret.credential`");
  const { user, password, options } = call(() => host.credential(url));
  return { user, password, options: Object.fromEntries(options) };
}

export function bearerToken(url) {
  check.text(url, "the URL of `secret.bearerToken`");
  return call(() => host.bearerToken(url));
}
