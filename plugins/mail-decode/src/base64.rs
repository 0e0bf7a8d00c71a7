//! Base64, streaming and lenient.
//!
//! Whatever is not of the alphabet is skipped: line ends, blanks, junk. Padding ends a quantum and
//! not the data, since some mailers concatenate separately padded pieces; but junk after padding
//! does, since mailing lists append footers. Missing padding is no error. The result does not
//! depend on how the input is cut.

#[cfg_attr(target_feature = "simd128", path = "base64/wide.rs")]
#[cfg_attr(not(target_feature = "simd128"), path = "base64/narrow.rs")]
mod sixteen;

const SKIP: u8 = 0xff;
const PAD: u8 = 0xfe;

const TABLE: [u8; 256] = {
    let mut table = [SKIP; 256];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut i = 0;
    while i < 64 {
        table[alphabet[i] as usize] = i as u8;
        i += 1;
    }
    table[b'=' as usize] = PAD;
    table
};

/// The value of a letter of the alphabet.
pub(crate) fn value(byte: u8) -> Option<u8> {
    let value = TABLE[usize::from(byte)];
    (value < 64).then_some(value)
}

/// Decoder state: the letters of an unfinished quantum.
#[derive(Default)]
pub(crate) struct Base64 {
    bits: u32,
    letters: u32,
    /// The last thing of the alphabet was padding.
    padded: bool,
    /// What follows is not base64 any more.
    over: bool,
}

impl Base64 {
    /// Appends what `input` decodes to.
    pub(crate) fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        // Three bytes for four letters, those of the unfinished quantum included.
        out.resize(start + input.len().div_ceil(4) * 3 + 3, 0);
        let mut to = start;
        let mut rest = input;
        while !rest.is_empty() && !self.over {
            if self.letters == 0 && !self.padded {
                let (read, wrote) = quanta(rest, &mut out[to..]);
                rest = &rest[read..];
                to += wrote;
            }
            // Line ends and all else that interrupts the fast loop, letter by letter until aligned.
            let mut read = 0;
            for &byte in rest {
                read += 1;
                if let Some(bytes) = self.letter(byte) {
                    let (data, length) = bytes;
                    out[to..to + length].copy_from_slice(&data[..length]);
                    to += length;
                }
                if self.letters == 0 && read >= 2 && !self.padded || self.over {
                    break;
                }
            }
            rest = &rest[read..];
        }
        out.truncate(to);
    }

    /// Takes one letter; returns the bytes it completes.
    fn letter(&mut self, byte: u8) -> Option<([u8; 3], usize)> {
        match TABLE[usize::from(byte)] {
            SKIP => {
                self.over = self.padded && !byte.is_ascii_whitespace();
                None
            }
            PAD => {
                self.padded = true;
                self.flush()
            }
            value => {
                self.padded = false;
                self.bits = self.bits << 6 | u32::from(value);
                self.letters += 1;
                if self.letters < 4 {
                    return None;
                }
                let [_, a, b, c] = self.bits.to_be_bytes();
                (self.bits, self.letters) = (0, 0);
                Some(([a, b, c], 3))
            }
        }
    }

    fn flush(&mut self) -> Option<([u8; 3], usize)> {
        let (bits, letters) = (self.bits, self.letters);
        (self.bits, self.letters) = (0, 0);
        match letters {
            2 => Some(([(bits >> 4) as u8, 0, 0], 1)),
            3 => Some(([(bits >> 10) as u8, (bits >> 2) as u8, 0], 2)),
            _ => None,
        }
    }

    /// Appends the bytes of an unpadded last quantum.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        if let Some((data, length)) = self.flush() {
            out.extend_from_slice(&data[..length]);
        }
    }
}

/// Decodes whole quanta and the line ends between them, until something else or the end comes up.
/// Returns bytes read and written.
fn quanta(input: &[u8], out: &mut [u8]) -> (usize, usize) {
    let (mut read, mut wrote) = (0, 0);
    // Up to twelve bytes are decoded, and sixteen written.
    while let Some(letters) = input[read..].first_chunk::<16>()
        && let Some(target) = out[wrote..].first_chunk_mut::<16>()
    {
        let known;
        (*target, known) = sixteen::decode(letters);
        read += known / 4 * 4;
        wrote += known / 4 * 3;
        read += match &letters[known..] {
            [] => 0,
            [b'\r', b'\n', ..] if known % 4 == 0 => 2,
            [b'\n', ..] if known % 4 == 0 => 1,
            _ => break,
        };
    }
    (read, wrote)
}

/// Decodes a short text at once.
pub(crate) fn decode(input: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut decoder = Base64::default();
    decoder.feed(input, &mut out);
    decoder.finish(&mut out);
    out
}

/// Encodes a short text, padded.
pub(crate) fn encode(input: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(input.len().div_ceil(3) * 4);
    for chunk in input.chunks(3) {
        let mut bits = 0_u32;
        for place in 0..3 {
            bits = bits << 8 | u32::from(chunk.get(place).copied().unwrap_or(0));
        }
        for place in 0..4 {
            if place <= chunk.len() {
                let index = bits >> (18 - 6 * place) & 63;
                out.push(char::from(ALPHABET[index as usize]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expected: &[u8]) {
        assert_eq!(decode(input.as_bytes()), expected, "{input:?}");
        for size in 1..9 {
            let mut decoder = Base64::default();
            let mut out = Vec::new();
            for piece in input.as_bytes().chunks(size) {
                decoder.feed(piece, &mut out);
            }
            decoder.finish(&mut out);
            assert_eq!(out, expected, "{input:?} in pieces of {size}");
        }
    }

    #[test]
    fn decodes() {
        check("", b"");
        check("aGVsbG8=", b"hello");
        check("aGVsbG8", b"hello");
        check("aGVs\r\nbG8=\r\n", b"hello");
        check("aG Vs\r\n!!bG8*=\r\n", b"hello");
        check("aA==aA==", b"hh");
        check("aGVsbG8=\r\n-- \r\nSent from somewhere\r\n", b"hello");
        check("====", b"");
        check("Z", b"");
        check("/+8A", b"\xff\xef\x00");
    }

    #[test]
    fn encodes_what_decodes_back() {
        for length in 0..10_u8 {
            let data: Vec<u8> = (0..length).map(|i| i.wrapping_mul(37) ^ 200).collect();
            assert_eq!(decode(encode(&data).as_bytes()), data);
        }
    }
}
