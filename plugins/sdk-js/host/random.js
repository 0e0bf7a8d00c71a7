// Stands in for `wasi:random`; the build puts the component's own in its place.

const getRandomBytes = (length) => globalThis.crypto.getRandomValues(new Uint8Array(length));

export default { getRandomBytes };
