// The host of a test, where there is no component around the plugin.

let host = null;

/** Puts a host in place; null takes it away. */
export function standIn(other) {
  host = other;
}

/** An import interface whose functions are the host's of the moment. */
export function interfaceOf(name) {
  const get = (_, property) => {
    if (host === null) throw new Error("there is no host here: make a Host of flow-plugin/testing first");
    return host[name][property];
  };
  return new Proxy({}, { get });
}
