//! The lines of a body: `format=flowed` unwrapped (RFC 3676), line ends made `\n`.
//!
//! Streaming over UTF-8; a line longer than [`LINE`] is passed on in pieces and not unwrapped.
//! The result does not depend on how the input is cut.

/// Flowed lines are short by design; a longer one was not wrapped by anybody.
const LINE: usize = 16 * 1024;

/// Shapes the lines of one text.
#[derive(Default)]
pub(crate) struct Lines {
    /// A `\r` that may be the start of a line end.
    held: bool,
    flowed: Option<Flowed>,
    normal: String,
}

impl Lines {
    /// `del_sp` is the parameter of the same name.
    pub(crate) fn new(flowed: bool, del_sp: bool) -> Self {
        Self {
            flowed: flowed.then(|| Flowed {
                del_sp,
                ..Flowed::default()
            }),
            ..Self::default()
        }
    }

    pub(crate) fn feed(&mut self, text: &str, out: &mut String) {
        let Some(flowed) = &mut self.flowed else {
            return plain(text, &mut self.held, out);
        };
        self.normal.clear();
        plain(text, &mut self.held, &mut self.normal);
        flowed.feed(&self.normal, out);
    }

    pub(crate) fn finish(&mut self, out: &mut String) {
        let held = if self.held { "\r" } else { "" };
        match &mut self.flowed {
            Some(flowed) => {
                flowed.feed(held, out);
                flowed.finish(out);
            }
            None => out.push_str(held),
        }
    }
}

fn plain(text: &str, held: &mut bool, out: &mut String) {
    let mut rest = text;
    if rest.is_empty() {
        return;
    }
    if std::mem::take(held) && !rest.starts_with('\n') {
        out.push('\r');
    }
    while let Some(at) = memchr::memchr(b'\r', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if rest.is_empty() {
            *held = true;
            return;
        }
        if !rest.starts_with('\n') {
            out.push('\r');
        }
    }
    out.push_str(rest);
}

#[derive(Default)]
struct Flowed {
    del_sp: bool,
    line: String,
    /// Inside a line too long to look at.
    mid_line: bool,
    /// The quote depth of a paragraph that goes on in the next line.
    open: Option<usize>,
}

impl Flowed {
    fn feed(&mut self, text: &str, out: &mut String) {
        for piece in text.split_inclusive('\n') {
            if self.mid_line {
                self.mid_line = !piece.ends_with('\n');
                out.push_str(piece);
                continue;
            }
            self.line.push_str(piece);
            if self.line.len() > LINE {
                self.close(out);
                self.mid_line = !self.line.ends_with('\n');
                out.push_str(&std::mem::take(&mut self.line));
            } else if self.line.ends_with('\n') {
                let line = std::mem::take(&mut self.line);
                self.whole(&line, out);
                self.line = line;
                self.line.clear();
            }
        }
    }

    fn whole(&mut self, line: &str, out: &mut String) {
        let (line, ended) = match line.strip_suffix('\n') {
            Some(line) => (line, true),
            None => (line, false),
        };
        let content = line.trim_start_matches('>');
        let depth = line.len() - content.len();
        let content = content.strip_prefix(' ').unwrap_or(content);
        // A signature separator ends in a blank without flowing into what follows.
        let signature = content == "-- ";
        if self.open != Some(depth) || signature {
            self.close(out);
            if depth > 0 {
                out.extend(std::iter::repeat_n('>', depth));
                out.push(' ');
            }
        }
        let flows = content.ends_with(' ') && !signature;
        if flows {
            out.push_str(
                content
                    .strip_suffix(' ')
                    .filter(|_| self.del_sp)
                    .unwrap_or(content),
            );
            self.open = Some(depth);
        } else {
            out.push_str(content);
            if ended {
                out.push('\n');
            }
            self.open = None;
        }
    }

    /// Ends a paragraph whose next line turned out not to be its own.
    fn close(&mut self, out: &mut String) {
        if self.open.take().is_some() {
            out.push('\n');
        }
    }

    fn finish(&mut self, out: &mut String) {
        if !self.line.is_empty() {
            let line = std::mem::take(&mut self.line);
            self.whole(&line, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(flowed: bool, del_sp: bool, input: &str, expected: &str) {
        let chars: Vec<char> = input.chars().collect();
        for size in [1, 2, 3, 1000] {
            let mut lines = Lines::new(flowed, del_sp);
            let mut out = String::new();
            for piece in chars.chunks(size) {
                lines.feed(&piece.iter().collect::<String>(), &mut out);
            }
            lines.finish(&mut out);
            assert_eq!(out, expected, "{input:?}");
        }
    }

    #[test]
    fn line_ends() {
        check(false, false, "a\r\nb\nc\rd\r", "a\nb\nc\rd\r");
        check(false, false, "a\r\r\nb", "a\r\nb");
        check(false, false, " a \r\n", " a \n");
    }

    #[test]
    fn paragraphs() {
        check(
            true,
            false,
            "one \r\ntwo \r\nthree\r\n\r\nfour\r\n",
            "one two three\n\nfour\n",
        );
        check(true, true, "wo \r\nrd\r\n", "word\n");
        check(true, true, "one  \r\ntwo\r\n", "one two\n");
        check(true, false, " >not a quote\r\n", ">not a quote\n");
        check(true, false, " From me\r\n", "From me\n");
        check(true, false, "text \r\n-- \r\nAnn\r\n", "text \n-- \nAnn\n");
        check(true, false, "last ", "last ");
    }

    #[test]
    fn quotes() {
        check(
            true,
            false,
            "> a \r\n> b\r\n>> c \r\n> d\r\ne\r\n",
            "> a b\n>> c \n> d\ne\n",
        );
        check(true, false, ">a \r\nb\r\n", "> a \nb\n");
    }

    #[test]
    fn long_lines_pass() {
        let long = format!("{} \r\nend\r\n", "x".repeat(40_000));
        let mut out = String::new();
        let mut lines = Lines::new(true, false);
        lines.feed(&long, &mut out);
        lines.finish(&mut out);
        assert_eq!(out, format!("{} \nend\n", "x".repeat(40_000)));
    }
}
