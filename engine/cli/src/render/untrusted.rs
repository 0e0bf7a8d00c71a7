//! Names from outside, made safe to print.
//!
//! A mail's subject or an attachment's name may hold escape sequences that would move the cursor,
//! rewrite what a person reads or type for them. None reaches the terminal.

use std::borrow::Cow;

/// The text with control and direction characters written out as `\u{…}`.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unsafe(c) {
            safe.extend(c.escape_unicode());
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

/// The same for text of several lines: the lines stay, each further one indented.
pub(crate) fn printable_lines(text: &str, indent: &str) -> String {
    let lines: Vec<_> = text.trim_end().lines().map(printable).collect();
    lines.join(&format!("\n{indent}"))
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_are_written_out() {
        assert_eq!(printable("счёт за май.pdf"), "счёт за май.pdf");
        assert_eq!(
            printable("a\x1b[2Jb\nc\u{202e}fdp"),
            "a\\u{1b}[2Jb\\u{a}c\\u{202e}fdp"
        );
        assert_eq!(
            printable_lines("trap\n  = note: a\x07\n", "  "),
            "trap\n    = note: a\\u{7}"
        );
    }
}
