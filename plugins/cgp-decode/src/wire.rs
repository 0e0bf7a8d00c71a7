//! A mail as it goes over the wire: lines end with CRLF. A CR by itself stays what it is.

/// Turns lone LFs into CRLF in content that comes in pieces.
#[derive(Debug, Default)]
pub(crate) struct LineEnds {
    /// The last byte of the last piece was a CR.
    after_cr: bool,
}

impl LineEnds {
    /// What the next piece becomes.
    pub(crate) fn turn(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut turned = Vec::with_capacity(piece.len() + piece.len() / 32 + 1);
        let mut from = 0;
        let mut before = self.after_cr;
        for (at, byte) in piece.iter().enumerate() {
            if *byte == b'\n' && !before {
                turned.extend_from_slice(&piece[from..at]);
                turned.push(b'\r');
                from = at;
            }
            before = *byte == b'\r';
        }
        turned.extend_from_slice(&piece[from..]);
        self.after_cr = before;
        turned
    }
}

#[cfg(test)]
mod tests {
    use super::LineEnds;

    #[test]
    fn only_lone_line_feeds_change() {
        for (given, expected) in [
            (&b""[..], &b""[..]),
            (b"\n", b"\r\n"),
            (b"a\r\nb\nc\rd\r\r\n\n", b"a\r\nb\r\nc\rd\r\r\n\r\n"),
            (b"\xff\n\x00\n", b"\xff\r\n\x00\r\n"),
        ] {
            for size in 1..=given.len().max(1) {
                let mut ends = LineEnds::default();
                let turned: Vec<u8> = given
                    .chunks(size)
                    .flat_map(|piece| ends.turn(piece))
                    .collect();
                assert_eq!(turned, expected, "in pieces of {size}");
            }
        }
    }
}
