//! Content transfer encodings: one decoder over all of them.

use crate::base64::Base64;
use crate::quoted::Quoted;
use crate::uu::{Event, UuScan};

/// Decodes the body of one entity.
pub(crate) enum Transfer {
    /// 7bit, 8bit, binary, and whatever nobody knows.
    Identity,
    Base64(Base64),
    Quoted(Quoted),
    Uu(UuScan),
}

impl Transfer {
    /// Reads a `Content-Transfer-Encoding`.
    pub(crate) fn new(value: Option<&[u8]>) -> Self {
        let name = value
            .unwrap_or_default()
            .split(|b| !b.is_ascii_alphanumeric() && *b != b'-')
            .find(|token| !token.is_empty())
            .unwrap_or_default()
            .to_ascii_lowercase();
        match name.as_slice() {
            b"base64" | b"base-64" | b"x-base64" => Self::Base64(Base64::default()),
            b"quoted-printable" | b"quotedprintable" | b"x-quoted-printable" => {
                Self::Quoted(Quoted::default())
            }
            b"x-uuencode" | b"uuencode" | b"x-uue" | b"uue" => Self::Uu(UuScan::default()),
            _ => Self::Identity,
        }
    }

    /// Decodes `input` to the end of `out`; `None` means `input` is what it decodes to.
    pub(crate) fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Identity => return None,
            Self::Base64(decoder) => decoder.feed(input, out),
            Self::Quoted(decoder) => decoder.feed(input, out),
            Self::Uu(scan) => scan.feed(input, &mut uu_data(out)).unwrap_or(()),
        }
        Some(())
    }

    /// Decodes what was held back.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Identity => {}
            Self::Base64(decoder) => decoder.finish(out),
            Self::Quoted(decoder) => decoder.finish(out),
            Self::Uu(scan) => scan.finish(&mut uu_data(out)).unwrap_or(()),
        }
    }
}

fn uu_data(out: &mut Vec<u8>) -> impl FnMut(Event<'_>) -> Result<(), ()> {
    |event| {
        if let Event::Data(data) = event {
            out.extend_from_slice(data);
        }
        Ok(())
    }
}
