//! Finds and decodes uuencoded files inside text, streaming.
//!
//! A file starts with `begin 644 name` at the start of a line and a valid line of data after it;
//! anything less is prose that happens to begin so. Text around files passes through untouched.
//! Nothing longer than [`LINE`] is held, and the result does not depend on how the input is cut.

/// A longer line is text. Uuencoded lines have at most 86 bytes.
const LINE: usize = 1024;

/// What the scanner found.
pub(crate) enum Event<'a> {
    /// Ordinary text.
    Text(&'a [u8]),
    /// A file starts; its name as written.
    Begin(&'a [u8]),
    /// Bytes of the file.
    Data(&'a [u8]),
    /// The file is over, by its `end` line or because no more valid data came.
    End,
}

#[derive(Default)]
enum Mode {
    #[default]
    Text,
    /// The `begin` line, with its end, until the next line confirms it.
    Began(Vec<u8>),
    Data,
}

#[derive(Default)]
pub(crate) struct UuScan {
    mode: Mode,
    line: Vec<u8>,
    /// Inside a line that is text whatever follows.
    mid_line: bool,
    /// Collecting a line that may be `begin …`.
    gathering: bool,
    decoded: Vec<u8>,
}

impl UuScan {
    /// Passes on what `input` holds.
    pub(crate) fn feed<E>(
        &mut self,
        input: &[u8],
        emit: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = input;
        while !rest.is_empty() {
            if self.mid_line {
                let end = memchr::memchr(b'\n', rest);
                self.mid_line = end.is_none();
                let (text, tail) = rest.split_at(end.map_or(rest.len(), |n| n + 1));
                emit(Event::Text(text))?;
                rest = tail;
            } else if self.gathering || !matches!(self.mode, Mode::Text) {
                let end = memchr::memchr(b'\n', rest);
                let (piece, tail) = rest.split_at(end.map_or(rest.len(), |n| n + 1));
                self.line.extend_from_slice(piece);
                rest = tail;
                if self.line.len() > LINE {
                    self.overlong(end.is_none(), emit)?;
                } else if end.is_some() {
                    self.whole_line(emit)?;
                }
            } else {
                let plain = self.plain(rest);
                if plain > 0 {
                    emit(Event::Text(&rest[..plain]))?;
                    rest = &rest[plain..];
                }
            }
        }
        Ok(())
    }

    /// How many bytes, from the start of a line, are certainly text.
    fn plain(&mut self, text: &[u8]) -> usize {
        const BEGIN: &[u8] = b"begin ";
        let mut at = 0;
        loop {
            let line = &text[at..];
            if line.is_empty() {
                return at;
            }
            if line.starts_with(BEGIN) || BEGIN.starts_with(line) {
                self.gathering = true;
                return at;
            }
            match memchr::memchr(b'\n', line) {
                Some(end) => at += end + 1,
                None => {
                    self.mid_line = true;
                    return text.len();
                }
            }
        }
    }

    fn whole_line<E>(
        &mut self,
        emit: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let line = std::mem::take(&mut self.line);
        let content = line.trim_ascii_end();
        match std::mem::take(&mut self.mode) {
            Mode::Text => {
                self.gathering = false;
                if begin(content).is_some() {
                    self.mode = Mode::Began(line);
                } else {
                    emit(Event::Text(&line))?;
                }
            }
            Mode::Began(first) => {
                self.decoded.clear();
                if decode(&line, true, &mut self.decoded) {
                    emit(Event::Begin(
                        begin(first.trim_ascii_end()).unwrap_or_default(),
                    ))?;
                    self.mode = Mode::Data;
                    emit(Event::Data(&self.decoded))?;
                } else {
                    emit(Event::Text(&first))?;
                    self.feed(&line, emit)?;
                }
            }
            Mode::Data => {
                self.decoded.clear();
                if content == b"end" {
                    emit(Event::End)?;
                } else if decode(&line, false, &mut self.decoded) {
                    self.mode = Mode::Data;
                    if !self.decoded.is_empty() {
                        emit(Event::Data(&self.decoded))?;
                    }
                } else {
                    emit(Event::End)?;
                    self.feed(&line, emit)?;
                }
            }
        }
        Ok(())
    }

    fn overlong<E>(
        &mut self,
        open: bool,
        emit: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        match std::mem::take(&mut self.mode) {
            Mode::Text => {}
            Mode::Began(first) => emit(Event::Text(&first))?,
            Mode::Data => emit(Event::End)?,
        }
        self.gathering = false;
        self.mid_line = open;
        emit(Event::Text(&std::mem::take(&mut self.line)))
    }

    /// Passes on what was held back.
    pub(crate) fn finish<E>(
        &mut self,
        emit: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        // A line without its end is looked at like any other; it may be `end`, or start over.
        while !self.line.is_empty() {
            if self.mid_line {
                break;
            }
            self.whole_line(emit)?;
        }
        match std::mem::take(&mut self.mode) {
            Mode::Text => Ok(()),
            Mode::Began(first) => emit(Event::Text(&first)),
            Mode::Data => emit(Event::End),
        }
    }
}

/// The name of a `begin` line.
fn begin(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"begin ")?;
    let digits = rest.iter().take_while(|b| matches!(b, b'0'..=b'7')).count();
    if !(3..=4).contains(&digits) {
        return None;
    }
    let name = rest[digits..].strip_prefix(b" ")?.trim_ascii();
    (!name.is_empty()).then_some(name)
}

/// Decodes a line of data; says whether it was one. `strict` is for the first line, which has to
/// tell a file from prose.
fn decode(line: &[u8], strict: bool, out: &mut Vec<u8>) -> bool {
    let line = line
        .strip_suffix(b"\n")
        .map_or(line, |l| l.strip_suffix(b"\r").unwrap_or(l));
    let Some((&first, letters)) = line.split_first() else {
        // Its blanks were stripped on the way: a line of no bytes.
        return !strict;
    };
    if !matches!(first, b' '..=b'`') {
        return false;
    }
    let length = usize::from((first - b' ') & 63);
    let full = length.div_ceil(3) * 4;
    // One or two letters more may be a checksum; fewer were blanks stripped on the way.
    if letters.len() > full + 2 || !letters.iter().all(|b| matches!(b, b' '..=b'`')) {
        return false;
    }
    if strict && (length == 0 && !letters.is_empty() || letters.len() < (length * 8).div_ceil(6)) {
        return false;
    }
    let end = out.len() + length;
    for quantum in letters[..letters.len().min(full)].chunks(4) {
        let mut bits = 0_u32;
        for place in 0..4 {
            let letter = quantum.get(place).copied().unwrap_or(b' ');
            bits = bits << 6 | u32::from((letter - b' ') & 63);
        }
        out.extend_from_slice(&bits.to_be_bytes()[1..]);
    }
    out.resize(end, 0);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(input: &str, size: usize) -> (String, Vec<(String, Vec<u8>)>) {
        let mut text = Vec::new();
        let mut files: Vec<(String, Vec<u8>)> = Vec::new();
        let mut scan = UuScan::default();
        let mut emit = |event: Event<'_>| {
            match event {
                Event::Text(t) => text.extend_from_slice(t),
                Event::Begin(n) => {
                    files.push((String::from_utf8_lossy(n).into_owned(), Vec::new()));
                }
                Event::Data(d) => files.last_mut().unwrap().1.extend_from_slice(d),
                Event::End => {}
            }
            Ok::<(), ()>(())
        };
        for piece in input.as_bytes().chunks(size) {
            scan.feed(piece, &mut emit).unwrap();
        }
        scan.finish(&mut emit).unwrap();
        (String::from_utf8(text).unwrap(), files)
    }

    fn check(input: &str, text: &str, files: &[(&str, &[u8])]) {
        let files: Vec<(String, Vec<u8>)> = files
            .iter()
            .map(|(n, d)| ((*n).to_owned(), d.to_vec()))
            .collect();
        for size in [1, 2, 3, 7, 64, 4096] {
            assert_eq!(
                run(input, size),
                (text.to_owned(), files.clone()),
                "pieces of {size}"
            );
        }
    }

    #[test]
    fn finds_a_file_in_text() {
        check(
            "hi\r\nbegin 644 cat.txt\r\n#0V%T\r\n`\r\nend\r\nbye\r\n",
            "hi\r\nbye\r\n",
            &[("cat.txt", b"Cat")],
        );
        check("begin 0755 a b.bin\n!00\n\nend", "", &[("a b.bin", b"A")]);
        check("begin 644 empty\n`\nend\n", "", &[("empty", b"")]);
    }

    #[test]
    fn prose_is_no_file() {
        check(
            "begin 644 reasons to smile\nand more\n",
            "begin 644 reasons to smile\nand more\n",
            &[],
        );
        check("begin here\n", "begin here\n", &[]);
        check("beg", "beg", &[]);
        check("begin 644 x", "begin 644 x", &[]);
        let long = format!("begin 644 {}\n#0V%T\nend\n", "x".repeat(5000));
        check(&long, &long, &[]);
    }

    #[test]
    fn a_file_ends_where_its_data_does() {
        check(
            "begin 644 a\n#0V%T\nnot uu at all\nbegin 644 b\n#0V%T\nend\n",
            "not uu at all\n",
            &[("a", b"Cat"), ("b", b"Cat")],
        );
        check("begin 644 a\n#0V%T\n", "", &[("a", b"Cat")]);
    }
}
