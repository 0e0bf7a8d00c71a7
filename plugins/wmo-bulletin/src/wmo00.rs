//! Files of many bulletins, WMO formats 00 and 01: before each bulletin eight digits of length and
//! two of format. In format 00 a bulletin begins with a starting line (`SOH CR CR LF nnn`) and ends
//! with `CR CR LF ETX`; in format 01 it has neither.

use std::io::{self, BufRead, Read};

/// Longest bulletin, bytes. The WMO allows 500 000; this leaves room.
const BULLETIN_MAX: usize = 4 * 1024 * 1024;

/// What comes next in a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Bulletin(Vec<u8>),
    /// The end, where it should be.
    End,
    /// What follows is no bulletin, or not all of it; why.
    Broken(String),
}

/// Reads the next bulletin.
pub(crate) fn next(file: &mut impl BufRead) -> io::Result<Next> {
    // Some write line ends between bulletins.
    loop {
        let buffer = file.fill_buf()?;
        let blanks = buffer
            .iter()
            .take_while(|byte| matches!(byte, b'\r' | b'\n' | 0))
            .count();
        if blanks == 0 {
            break;
        }
        file.consume(blanks);
    }
    let mut head = Vec::with_capacity(10);
    file.by_ref().take(10).read_to_end(&mut head)?;
    if head.is_empty() {
        return Ok(Next::End);
    }
    let digits = head.iter().all(u8::is_ascii_digit);
    let number = |bytes: &[u8]| {
        std::str::from_utf8(bytes)
            .ok()
            .and_then(|text| text.parse::<usize>().ok())
    };
    // Eight zeros alone say that nothing follows.
    if head.starts_with(b"00000000") && head.len() >= 8 {
        return Ok(Next::End);
    }
    let (true, 10, Some(length)) = (digits, head.len(), number(&head[..head.len().min(8)])) else {
        return Ok(Next::Broken(format!(
            "`{}` is no length of a bulletin",
            head.escape_ascii()
        )));
    };
    if !matches!(&head[8..], b"00" | b"01") {
        return Ok(Next::Broken(format!(
            "`{}` is no known format",
            head[8..].escape_ascii()
        )));
    }
    if length > BULLETIN_MAX {
        return Ok(Next::Broken(format!(
            "a bulletin of {length} bytes is too long"
        )));
    }
    let mut bulletin = Vec::new();
    let wanted = u64::try_from(length).unwrap_or(u64::MAX);
    file.take(wanted).read_to_end(&mut bulletin)?;
    if bulletin.len() < length {
        return Ok(Next::Broken(format!(
            "the last bulletin has {} bytes of {length}",
            bulletin.len()
        )));
    }
    Ok(Next::Bulletin(bulletin))
}

/// A bulletin without its starting line and its end.
pub(crate) fn bare(bulletin: &[u8]) -> &[u8] {
    let line_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let skip = |bytes: &[u8], what: fn(&u8) -> bool| bytes.iter().take_while(|b| what(b)).count();
    let mut rest = bulletin;
    if let Some(after) = rest.strip_prefix(&[1]) {
        rest = &after[skip(after, line_end)..];
        let number = skip(rest, |byte| byte.is_ascii_digit() || *byte == b' ');
        let end = skip(&rest[number..], line_end);
        if number > 0 && end > 0 {
            rest = &rest[number + end..];
        }
    }
    if let Some(before) = rest.strip_suffix(&[3]) {
        // `CR CR LF` belongs to the end, line ends before it to the text.
        rest = before
            .strip_suffix(b"\r\r\n")
            .or_else(|| before.strip_suffix(b"\r\n"))
            .unwrap_or(before);
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &[u8] = b"\x01\r\r\n001\r\r\nSACN31 CWAO 011200\r\r\nMETAR A=\r\r\n\x03";

    fn framed(bulletin: &[u8], format: &str) -> Vec<u8> {
        let mut file = format!("{:08}{format}", bulletin.len()).into_bytes();
        file.extend_from_slice(bulletin);
        file
    }

    fn all(file: &[u8]) -> (Vec<Vec<u8>>, Option<String>) {
        let mut file = io::BufReader::with_capacity(7, file);
        let mut bulletins = Vec::new();
        loop {
            match next(&mut file).unwrap() {
                Next::Bulletin(bulletin) => bulletins.push(bulletin),
                Next::End => return (bulletins, None),
                Next::Broken(why) => return (bulletins, Some(why)),
            }
        }
    }

    #[test]
    fn bulletins_follow_each_other() {
        let two = b"SACN32 CWAO 011200\r\r\nMETAR B=";
        let mut file = framed(ONE, "00");
        file.extend(framed(two, "01"));
        let both = vec![ONE.to_vec(), two.to_vec()];
        assert_eq!(all(&file), (both.clone(), None));
        file.extend(b"0000000000");
        assert_eq!(all(&file), (both.clone(), None));
        file.truncate(file.len() - 2);
        assert_eq!(all(&file), (both, None));
        assert_eq!(all(b""), (Vec::new(), None));
    }

    #[test]
    fn what_is_broken_is_said() {
        for (file, expected) in [
            (
                b"SACN31 CWAO 011200".to_vec(),
                "`SACN31 CWA` is no length of a bulletin",
            ),
            (b"0000".to_vec(), "`0000` is no length of a bulletin"),
            (b"0000001007".to_vec(), "`07` is no known format"),
            (
                b"9999999900".to_vec(),
                "a bulletin of 99999999 bytes is too long",
            ),
            (
                b"0000001000abc".to_vec(),
                "the last bulletin has 3 bytes of 10",
            ),
        ] {
            assert_eq!(all(&file), (Vec::new(), Some(expected.to_owned())));
        }
        let mut cut = framed(ONE, "00");
        cut.extend(framed(ONE, "00"));
        cut.pop();
        let (bulletins, why) = all(&cut);
        assert_eq!((bulletins.len(), why.is_some()), (1, true));
    }

    #[test]
    fn the_envelope_goes_and_the_text_stays() {
        assert_eq!(bare(ONE), b"SACN31 CWAO 011200\r\r\nMETAR A=");
        let text = b"SACN31 CWAO 011200\r\r\nMETAR A=\r\r\n";
        assert_eq!(bare(text), text);
        assert_eq!(bare(b"\x01\r\r\nSACN31\x03"), b"SACN31");
        assert_eq!(bare(b"\x01\x03"), b"");
        assert_eq!(bare(b""), b"");
    }
}
