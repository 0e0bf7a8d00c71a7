// Credentials of the flow's credentials.conf. Using this asks for the grant `secrets`.

import host from "../host/secret.js";
import { call } from "./failure.js";

export function credential(url) {
  const { user, password, options } = call(() => host.credential(url));
  return { user, password, options: Object.fromEntries(options) };
}

export const bearerToken = (url) => call(() => host.bearerToken(url));
