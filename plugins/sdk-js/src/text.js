// UTF-8, which the engine of the component does not bring along.

// Read before `globals.js` puts its own in their places, which are made of what is here.
const [NativeEncoder, NativeDecoder] = [globalThis.TextEncoder, globalThis.TextDecoder];

/** Text as UTF-8. Half a surrogate pair becomes U+FFFD. */
export function encode(text) {
  if (NativeEncoder !== undefined) return new NativeEncoder().encode(text);
  const bytes = new Uint8Array(text.length * 3);
  let at = 0;
  for (let i = 0; i < text.length; i++) {
    let point = text.codePointAt(i);
    if (point > 0xffff) i++;
    if (point >= 0xd800 && point <= 0xdfff) point = 0xfffd;
    if (point < 0x80) {
      bytes[at++] = point;
    } else if (point < 0x800) {
      bytes[at++] = 0xc0 | (point >> 6);
      bytes[at++] = 0x80 | (point & 0x3f);
    } else if (point < 0x10000) {
      bytes[at++] = 0xe0 | (point >> 12);
      bytes[at++] = 0x80 | ((point >> 6) & 0x3f);
      bytes[at++] = 0x80 | (point & 0x3f);
    } else {
      bytes[at++] = 0xf0 | (point >> 18);
      bytes[at++] = 0x80 | ((point >> 12) & 0x3f);
      bytes[at++] = 0x80 | ((point >> 6) & 0x3f);
      bytes[at++] = 0x80 | (point & 0x3f);
    }
  }
  return bytes.slice(0, at);
}

/** How many bytes follow this first one, the bits it holds, and the least such a sequence may say. */
function first(byte) {
  if (byte >= 0xc2 && byte <= 0xdf) return [1, byte & 0x1f, 0x80];
  if (byte >= 0xe0 && byte <= 0xef) return [2, byte & 0x0f, 0x800];
  if (byte >= 0xf0 && byte <= 0xf4) return [3, byte & 0x07, 0x10000];
  return null;
}

/** UTF-8 as text; what is none becomes U+FFFD. */
export function decode(bytes) {
  if (NativeDecoder !== undefined) return new NativeDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  try {
    let latin = "";
    for (let at = 0; at < bytes.length; at += 8192) {
      latin += String.fromCharCode.apply(null, bytes.subarray(at, at + 8192));
    }
    // Far faster than a loop here; refuses what is no UTF-8.
    return decodeURIComponent(escape(latin));
  } catch {
    return decodeSlowly(bytes);
  }
}

function decodeSlowly(bytes) {
  const parts = [];
  let units = [];
  for (let at = 0; at < bytes.length; ) {
    const byte = bytes[at++];
    if (byte < 0x80) {
      units.push(byte);
    } else {
      units.push(...units16(sequence()));
    }
    if (units.length > 4096) {
      parts.push(String.fromCharCode.apply(null, units));
      units = [];
    }
    function sequence() {
      const begun = first(byte);
      if (begun === null) return 0xfffd;
      let [left, point] = begun;
      const start = at;
      for (; left > 0; left--) {
        if (at >= bytes.length || (bytes[at] & 0xc0) !== 0x80) return 0xfffd;
        point = (point << 6) | (bytes[at++] & 0x3f);
      }
      const wrong = point < begun[2] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff);
      if (wrong) at = start;
      return wrong ? 0xfffd : point;
    }
  }
  parts.push(String.fromCharCode.apply(null, units));
  return parts.join("");
}

function units16(point) {
  if (point < 0x10000) return [point];
  const rest = point - 0x10000;
  return [0xd800 | (rest >> 10), 0xdc00 | (rest & 0x3ff)];
}

/** Bytes, or text as UTF-8. */
export const toBytes = (data) => (typeof data === "string" ? encode(data) : data);
