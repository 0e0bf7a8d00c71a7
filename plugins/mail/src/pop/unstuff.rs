//! Taking multi-line answers off the wire: doubled dots become single, `.` alone ends it.
//!
//! Only `CRLF . CRLF` is an end. A mail with a lone LF before such a dot is not cut there.

/// Where in a line the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    LineStart,
    /// After the dot a line started with.
    Dot,
    /// After that dot and a CR.
    DotCr,
    /// After a CR in a line.
    Cr,
    Middle,
}

/// Reads one multi-line answer, in chunks cut anywhere.
#[derive(Debug)]
pub(crate) struct Unstuff(At);

impl Default for Unstuff {
    fn default() -> Self {
        Self(At::LineStart)
    }
}

impl Unstuff {
    /// Hands the content in `chunk` to `take`; returns how much of the chunk was used, and whether
    /// the end was in it.
    pub(crate) fn feed(&mut self, chunk: &[u8], mut take: impl FnMut(&[u8])) -> (usize, bool) {
        let mut at = 0;
        while at < chunk.len() {
            match self.0 {
                At::LineStart if chunk[at] == b'.' => {
                    self.0 = At::Dot;
                    at += 1;
                }
                At::LineStart => self.0 = At::Middle,
                At::Dot if chunk[at] == b'\r' => {
                    self.0 = At::DotCr;
                    at += 1;
                }
                At::Dot => self.0 = At::Middle,
                At::DotCr if chunk[at] == b'\n' => return (at + 1, true),
                At::DotCr => {
                    take(b"\r");
                    self.0 = At::Middle;
                }
                At::Cr if chunk[at] == b'\n' => {
                    take(b"\n");
                    at += 1;
                    self.0 = At::LineStart;
                }
                At::Cr => self.0 = At::Middle,
                At::Middle => {
                    let rest = &chunk[at..];
                    match memchr::memmem::find(rest, b"\r\n.") {
                        Some(found) => {
                            take(&rest[..found + 2]);
                            at += found + 2;
                            self.0 = At::LineStart;
                        }
                        None => {
                            take(rest);
                            at = chunk.len();
                            self.0 = if rest.ends_with(b"\r\n") {
                                At::LineStart
                            } else if rest.ends_with(b"\r") {
                                At::Cr
                            } else {
                                At::Middle
                            };
                        }
                    }
                }
            }
        }
        (at, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever way the wire cuts it.
    #[track_caller]
    fn check(wire: &[u8], expected: &[u8]) {
        for first in 0..=wire.len() {
            for second in first..=wire.len() {
                let mut unstuff = Unstuff::default();
                let mut content = Vec::new();
                let mut used = 0;
                let mut ended = false;
                for chunk in [&wire[..first], &wire[first..second], &wire[second..]] {
                    if !ended {
                        let (taken, end) =
                            unstuff.feed(chunk, |bytes| content.extend_from_slice(bytes));
                        used += taken;
                        ended = end;
                    }
                }
                assert_eq!(
                    (content.as_slice(), ended),
                    (expected, true),
                    "cut at {first} and {second}"
                );
                assert_eq!(
                    &wire[used..],
                    b"+OK next\r\n",
                    "cut at {first} and {second}"
                );
            }
        }
    }

    #[test]
    fn dots_are_unstuffed_and_only_crlf_dot_crlf_ends() {
        check(b"a\r\nb\r\n.\r\n+OK next\r\n", b"a\r\nb\r\n");
        check(b".\r\n+OK next\r\n", b"");
        check(
            b"..\r\n...x\r\n.y\r\n.\r\n+OK next\r\n",
            b".\r\n..x\r\ny\r\n",
        );
        check(b"a\n.\r\nb\r\r\n.\r\n+OK next\r\n", b"a\n.\r\nb\r\r\n");
        check(b".\rx\r\n.\r\n+OK next\r\n", b"\rx\r\n");
    }
}
