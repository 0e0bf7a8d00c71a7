//! The envelope of a queue file: lines of a letter and what it says, up to the first empty line.
//!
//! `P` is the return path, `R` a recipient each, `S` how the mail came in. Other letters are passed
//! over. Lines end with LF or CRLF. What does not look like an envelope is none: a file whose first
//! lines are a mail's header would otherwise lose them.

/// Bytes of the longest envelope: some ten thousand recipients.
const LONGEST: usize = 4 << 20;

/// Who sent a mail to whom, and how it came in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Envelope {
    /// Without its angle brackets; empty where bounces are not wanted. None: there was no `P`.
    pub(crate) sender: Option<String>,
    pub(crate) recipients: Vec<String>,
    /// As written: `<user@example.org> SMTP [192.0.2.7]`.
    pub(crate) source: Option<String>,
}

/// Reads an envelope that comes in pieces.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    held: Vec<u8>,
    /// Where the line at hand begins.
    line: usize,
    envelope: Envelope,
    any: bool,
}

impl Reader {
    /// Takes the next piece. Once the envelope has ended, returns it and where in everything held so
    /// far the mail begins.
    pub(crate) fn take(&mut self, piece: &[u8]) -> Result<Option<(Envelope, Vec<u8>)>, String> {
        let mut from = self.held.len();
        self.held.extend_from_slice(piece);
        while let Some(end) = self.held[from..].iter().position(|byte| *byte == b'\n') {
            let end = from + end;
            let line = &self.held[self.line..end];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                if !self.any {
                    return Err("its first line is empty, so it has no envelope".into());
                }
                let rest = self.held.split_off(end + 1);
                return Ok(Some((std::mem::take(&mut self.envelope), rest)));
            }
            let line = String::from_utf8_lossy(line).into_owned();
            self.read(&line)?;
            self.line = end + 1;
            from = end + 1;
        }
        if self.held.len() > LONGEST {
            return Err(format!(
                "no empty line ends its envelope within {LONGEST} bytes"
            ));
        }
        Ok(None)
    }

    fn read(&mut self, line: &str) -> Result<(), String> {
        let mut chars = line.chars();
        let letter = chars.next().unwrap_or_default();
        let rest = chars.as_str();
        if !letter.is_ascii_alphabetic() || !(rest.is_empty() || rest.starts_with([' ', '\t'])) {
            return Err(format!(
                "`{}` is no line of an envelope",
                line.chars()
                    .take(60)
                    .flat_map(char::escape_debug)
                    .collect::<String>()
            ));
        }
        self.any = true;
        match letter {
            'P' => self.envelope.sender = Some(address(rest)),
            'R' => self.envelope.recipients.push(address(rest)),
            'S' => self.envelope.source = Some(rest.trim().to_owned()),
            _ => {}
        }
        Ok(())
    }
}

/// The address at the end of a line, which may have spaces in a quoted part.
fn address(rest: &str) -> String {
    let rest = rest.trim_end();
    let bare = rest.strip_suffix('>').and_then(|rest| {
        let open = rest.rfind(" <").map(|at| at + 2);
        let open = open.or_else(|| rest.starts_with('<').then_some(1))?;
        Some(&rest[open..])
    });
    bare.unwrap_or_else(|| rest.rsplit(' ').next().unwrap_or_default())
        .to_owned()
}

/// The address in brackets of a source: whoever connected.
pub(crate) fn client_ip(source: &str) -> Option<&str> {
    let open = source.rfind('[')?;
    let rest = &source[open + 1..];
    let inside = &rest[..rest.find(']')?];
    inside
        .trim()
        .parse::<std::net::IpAddr>()
        .ok()
        .filter(|ip| !ip.is_unspecified())
        .map(|_| inside.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out of `file`, given in pieces of every size.
    fn read(file: &[u8]) -> Result<Option<(Envelope, Vec<u8>)>, String> {
        let mut answers = Vec::new();
        for size in [1, 2, 3, 7, 64, file.len().max(1)] {
            let mut reader = Reader::default();
            let mut answer = Ok(None);
            let mut pieces = file.chunks(size);
            for piece in pieces.by_ref() {
                answer = reader.take(piece);
                match &mut answer {
                    Ok(None) => {}
                    Ok(Some((_, rest))) => {
                        rest.extend(pieces.flatten());
                        break;
                    }
                    Err(_) => break,
                }
            }
            answers.push(answer);
        }
        assert!(
            answers.windows(2).all(|pair| pair[0] == pair[1]),
            "{answers:?}"
        );
        answers.remove(0)
    }

    #[test]
    fn an_envelope_of_any_length() {
        for count in [0, 1, 2, 6, 200] {
            let mut file = b"P I 22-11-2026 10:00:00 0000 ____ ____ <sender@example.org>\nO T\nS <u@example.org> SMTP [203.0.113.7]\n".to_vec();
            for number in 0..count {
                file.extend(
                    format!("R W 22-11-2026 10:00:00 0000 ____ _FY_ <r{number}@example.com>\n")
                        .bytes(),
                );
            }
            file.extend(b"\nSubject: a\n\nbody\n");
            let (envelope, mail) = read(&file).unwrap().unwrap();
            assert_eq!(envelope.sender.as_deref(), Some("sender@example.org"));
            assert_eq!(envelope.recipients.len(), count);
            assert_eq!(
                envelope.source.as_deref(),
                Some("<u@example.org> SMTP [203.0.113.7]")
            );
            assert_eq!(mail, b"Subject: a\n\nbody\n");
        }
    }

    #[test]
    fn line_ends_and_letters_as_they_come() {
        let file = b"P I x <>\r\nX\nz what\tever\r\nR W <\"a b\"@example.com>\r\n\r\n\r\nbody";
        let (envelope, mail) = read(file).unwrap().unwrap();
        assert_eq!(envelope.sender.as_deref(), Some(""));
        assert_eq!(envelope.recipients, ["\"a b\"@example.com"]);
        assert_eq!(envelope.source, None);
        assert_eq!(mail, b"\r\nbody");
        let (envelope, _) = read(b"P <a@b>\nR c@d\nR \xff\n\n").unwrap().unwrap();
        assert_eq!(envelope.sender.as_deref(), Some("a@b"));
        assert_eq!(envelope.recipients, ["c@d", "\u{fffd}"]);
    }

    #[test]
    fn what_is_no_queue_file_is_not_cut() {
        for (file, why) in [
            (&b"Subject: a\n\nbody"[..], "is no line of an envelope"),
            (b"\nSubject: a\n\nbody", "first line is empty"),
            (b"From here\n", "is no line of an envelope"),
            (b"\0\0\n", "is no line of an envelope"),
        ] {
            let error = read(file).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        assert_eq!(read(b"P <a@b>\nR <c@d>\n"), Ok(None));
        assert_eq!(read(b""), Ok(None));
        let mut reader = Reader::default();
        let endless = b"O T\n".repeat(1 << 18);
        let error = (0..9).find_map(|_| reader.take(&endless).err()).unwrap();
        assert!(error.contains("no empty line"), "{error}");
    }

    #[test]
    fn who_connected() {
        for (source, ip) in [
            ("<u@example.org> SMTP [203.0.113.7]", Some("203.0.113.7")),
            ("SMTP [2001:db8::1]", Some("2001:db8::1")),
            ("HTTPU [192.0.2.1] ", Some("192.0.2.1")),
            ("DSN [0.0.0.0]", None),
            ("PIPE", None),
            ("SMTP [203.0.113.7", None),
            ("SMTP ]x[", None),
        ] {
            assert_eq!(client_ip(source), ip, "{source}");
        }
    }
}
