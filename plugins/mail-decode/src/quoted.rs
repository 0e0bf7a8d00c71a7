//! Quoted-printable, streaming and lenient.
//!
//! A `=` that starts no escape stays as it is, blanks before a line end go (they were added on the
//! way, RFC 2045 §6.7), line ends stay as they came. The result does not depend on how the input
//! is cut.

/// Blanks held back until it is known whether a line end follows. A longer run is not what
/// transports add, and would be a way to fill memory.
const BLANKS: usize = 4096;

#[derive(Default)]
pub(crate) struct Quoted {
    /// A `=`, the first digit after it, or the blanks of a soft break; or plain blanks.
    held: Vec<u8>,
}

impl Quoted {
    /// Appends what `input` decodes to.
    pub(crate) fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let mut rest = input;
        while let Some((&byte, tail)) = rest.split_first() {
            if self.held.is_empty() {
                rest = self.bulk(rest, out);
            } else if self.step(byte, out) {
                rest = tail;
            }
        }
    }

    /// Decodes as long as nothing has to be held back; returns what is left then.
    fn bulk<'a>(&mut self, input: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        let mut rest = input;
        loop {
            let special = memchr::memchr3(b'=', b'\r', b'\n', rest);
            let (plain, tail) = rest.split_at(special.unwrap_or(rest.len()));
            rest = match tail {
                [b'=', b'\r', b'\n', after @ ..] | [b'=', b'\n', after @ ..] => {
                    out.extend_from_slice(plain);
                    after
                }
                [b'=', high, low, after @ ..] if hex_pair(*high, *low).is_some() => {
                    out.extend_from_slice(plain);
                    out.extend(hex_pair(*high, *low));
                    after
                }
                [b'=', after @ ..] => {
                    out.extend_from_slice(plain);
                    self.held.push(b'=');
                    return after;
                }
                [b'\r', b'\n', after @ ..] if !ends_blank(plain) => {
                    out.extend_from_slice(plain);
                    out.extend_from_slice(b"\r\n");
                    after
                }
                [b'\n', after @ ..] if !ends_blank(plain) => {
                    out.extend_from_slice(plain);
                    out.push(b'\n');
                    after
                }
                _ => {
                    let kept = plain
                        .iter()
                        .rposition(|b| !matches!(b, b' ' | b'\t'))
                        .map_or(0, |at| at + 1);
                    // As many as the slow way would hold, so that cuts make no difference.
                    let blanks = plain.len() - kept;
                    let held = blanks.checked_sub(1).map_or(0, |n| n % BLANKS + 1);
                    let (now, later) = plain.split_at(plain.len() - held);
                    out.extend_from_slice(now);
                    self.held.extend_from_slice(later);
                    if self.held.is_empty()
                        && let [byte, after @ ..] = tail
                    {
                        self.held.push(*byte);
                        return after;
                    }
                    return tail;
                }
            };
        }
    }

    /// Looks at `byte` after what is held; says whether it was taken.
    fn step(&mut self, byte: u8, out: &mut Vec<u8>) -> bool {
        let blank = matches!(byte, b' ' | b'\t');
        if self.held[0] != b'=' {
            return self.step_blanks(byte, blank, out);
        }
        match (self.held.len(), byte) {
            // A soft break, however many blanks were added to it.
            (_, b'\n')
                if self.held[1..]
                    .iter()
                    .all(|b| matches!(b, b' ' | b'\t' | b'\r')) =>
            {
                self.held.clear();
                return true;
            }
            (1, b'\r') => {
                self.held.push(byte);
                return true;
            }
            (1, _) if blank || byte.is_ascii_hexdigit() => {
                self.held.push(byte);
                return true;
            }
            (2, _) if self.held[1].is_ascii_hexdigit() && byte.is_ascii_hexdigit() => {
                out.push(hex(self.held[1]) << 4 | hex(byte));
                self.held.clear();
                return true;
            }
            (2..BLANKS, _)
                if (blank || byte == b'\r') && matches!(self.held.last(), Some(b' ' | b'\t')) =>
            {
                self.held.push(byte);
                return true;
            }
            _ => {}
        }
        // No escape: the `=` is a character, and what follows is looked at by itself.
        out.push(b'=');
        let after = self.held.split_off(1);
        self.held.clear();
        self.feed(&after, out);
        false
    }

    fn step_blanks(&mut self, byte: u8, blank: bool, out: &mut Vec<u8>) -> bool {
        let return_held = self.held.last() == Some(&b'\r');
        match byte {
            b'\n' => {
                if return_held {
                    out.push(b'\r');
                }
                out.push(b'\n');
                self.held.clear();
                true
            }
            b'\r' if !return_held => {
                self.held.push(byte);
                true
            }
            _ if blank && !return_held && self.held.len() < BLANKS => {
                self.held.push(byte);
                true
            }
            _ => {
                out.append(&mut self.held);
                false
            }
        }
    }

    /// Appends what was held back. Blanks at the very end go as those before a line end do.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        match held.as_slice() {
            [b'=', rest @ ..] if rest.iter().any(u8::is_ascii_hexdigit) => {
                out.extend_from_slice(&held);
            }
            // A soft break of the last line, whose own end belongs to the boundary.
            [b'=', ..] => {}
            [.., b'\r'] => out.push(b'\r'),
            _ => {}
        }
    }
}

fn ends_blank(text: &[u8]) -> bool {
    matches!(text.last(), Some(b' ' | b'\t'))
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit.wrapping_sub(b'A') + 10,
    }
}

/// The byte of two hexadecimal digits.
pub(crate) fn hex_pair(high: u8, low: u8) -> Option<u8> {
    (high.is_ascii_hexdigit() && low.is_ascii_hexdigit()).then(|| hex(high) << 4 | hex(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expected: &str) {
        for size in [1, 2, 3, 4, 5, 7, 11, 4096, 10_000] {
            let mut decoder = Quoted::default();
            let mut out = Vec::new();
            for piece in input.as_bytes().chunks(size) {
                decoder.feed(piece, &mut out);
            }
            decoder.finish(&mut out);
            assert_eq!(
                String::from_utf8_lossy(&out),
                expected,
                "{input:?} in pieces of {size}"
            );
        }
    }

    #[test]
    fn decodes() {
        check("a=3Db", "a=b");
        check("=d0=9F", "П");
        check("a=\r\nb", "ab");
        check("a=\nb", "ab");
        check("a= \t\r\nb", "ab");
        check("a  \r\nb \n", "a\r\nb\n");
        check("a  b", "a  b");
        check("a\r\n\r\nb", "a\r\n\r\nb");
    }

    #[test]
    fn leaves_what_is_no_escape() {
        check("a=b", "a=b");
        check("1 = 2", "1 = 2");
        check("a=ZZ", "a=ZZ");
        check("a==3D", "a==");
        check("a=3", "a=3");
        check("a=3\r\nb", "a=3\r\nb");
        check("x=\rb", "x=\rb");
        check("x\r\r\nb", "x\r\r\nb");
    }

    #[test]
    fn long_runs_of_blanks() {
        for length in [4095, 4096, 4097, 8193] {
            let run = " ".repeat(length);
            check(&format!("{run}x"), &format!("{run}x"));
            check(&format!("a{run}=\n{run}b"), &format!("a{run}{run}b"));
            let left = (length - 1) / 4096 * 4096;
            check(
                &format!("x{run}\r\n"),
                &format!("x{}\r\n", " ".repeat(left)),
            );
        }
    }

    #[test]
    fn ends() {
        check("a=", "a");
        check("a= ", "a");
        check("a=\r", "a");
        check("a  ", "a");
        check("a\r", "a\r");
    }
}
