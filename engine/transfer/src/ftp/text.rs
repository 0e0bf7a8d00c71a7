//! Ends of lines, for transfers in ASCII mode: `\r\n` on the way, `\n` here.

use bytes::{BufMut, Bytes, BytesMut};

/// Takes `\r` away in front of `\n`, across pieces.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    /// The last piece ended with `\r`.
    pending: bool,
}

impl Incoming {
    /// The next piece, converted.
    pub(super) fn convert(&mut self, piece: &[u8]) -> Bytes {
        let mut made = BytesMut::with_capacity(piece.len() + 1);
        for byte in piece {
            if std::mem::take(&mut self.pending) && *byte != b'\n' {
                made.put_u8(b'\r');
            }
            match byte {
                b'\r' => self.pending = true,
                byte => made.put_u8(*byte),
            }
        }
        made.freeze()
    }

    /// What is left at the end.
    pub(super) fn end(&mut self) -> Bytes {
        match std::mem::take(&mut self.pending) {
            true => Bytes::from_static(b"\r"),
            false => Bytes::new(),
        }
    }
}

/// Puts `\r` in front of `\n` where there is none, across pieces.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    last: u8,
}

impl Outgoing {
    /// The next piece, converted.
    pub(super) fn convert(&mut self, piece: &[u8]) -> Bytes {
        let mut made = BytesMut::with_capacity(piece.len() + piece.len() / 16);
        for byte in piece {
            if *byte == b'\n' && self.last != b'\r' {
                made.put_u8(b'\r');
            }
            made.put_u8(*byte);
            self.last = *byte;
        }
        made.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::{Incoming, Outgoing};

    #[test]
    fn lines_end_as_they_should_however_they_are_cut() {
        let (here, there) = ("a\n\nb\rc\r", "a\r\n\r\nb\rc\r");
        for at in 0..=there.len() {
            let mut lines = Incoming::default();
            let mut made = lines.convert(&there.as_bytes()[..at]).to_vec();
            made.extend(lines.convert(&there.as_bytes()[at..]));
            made.extend(lines.end());
            assert_eq!(made, here.as_bytes(), "{at}");
        }
        for at in 0..=here.len() {
            let mut lines = Outgoing::default();
            let mut made = lines.convert(&here.as_bytes()[..at]).to_vec();
            made.extend(lines.convert(&here.as_bytes()[at..]));
            assert_eq!(made, there.as_bytes(), "{at}");
        }
        let mut lines = Outgoing::default();
        assert_eq!(&lines.convert(b"a\r\nb")[..], b"a\r\nb");
    }
}
