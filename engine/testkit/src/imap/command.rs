//! Reading commands: lines, literals and the few shapes of arguments.
//!
//! Purely syntax; a command that does not parse is answered `BAD` by the session.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Longest line and longest literal of one command; APPEND needs the latter.
const LINE_LIMIT: u64 = 64 << 10;
const LITERAL_LIMIT: usize = 64 << 20;

/// One argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// Bare word; a section in brackets belongs to it.
    Atom(String),
    /// Quoted string or literal.
    Text(Vec<u8>),
    /// `(`
    Open,
    /// `)`
    Close,
}

impl Token {
    /// The argument as text, if it is one.
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Self::Atom(text) => Some(text.clone()),
            Self::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
            Self::Open | Self::Close => None,
        }
    }

    /// The argument as bytes, for credentials.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Atom(text) => Some(text.as_bytes()),
            Self::Text(text) => Some(text),
            Self::Open | Self::Close => None,
        }
    }

    /// Whether it is this bare word, in any case.
    pub(super) fn is(&self, word: &str) -> bool {
        matches!(self, Self::Atom(text) if text.eq_ignore_ascii_case(word))
    }
}

/// Reads a line without its end; none at the end of the stream.
pub(super) async fn read_line(
    input: &mut (impl AsyncBufRead + Unpin),
) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    if (&mut *input)
        .take(LINE_LIMIT)
        .read_until(b'\n', &mut line)
        .await?
        == 0
    {
        return Ok(None);
    }
    if line.pop() != Some(b'\n') {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "line too long or cut off",
        ));
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(Some(line))
}

/// Reads a whole command, asking for its literals; none at the end of the stream.
pub(super) async fn read_command(
    input: &mut (impl AsyncBufRead + Unpin),
    output: &mut (impl AsyncWrite + Unpin),
) -> io::Result<Option<Result<Vec<Token>, &'static str>>> {
    let mut tokens = Vec::new();
    let mut problem = None;
    loop {
        let Some(line) = read_line(input).await? else {
            return Ok(None);
        };
        let (text, literal) = split_literal(&line);
        if let Err(error) = tokenize(text, &mut tokens) {
            problem = Some(error);
        }
        let Some((length, wait)) = literal else { break };
        if length > LITERAL_LIMIT {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "literal too long",
            ));
        }
        if wait {
            output.write_all(b"+ go ahead\r\n").await?;
            output.flush().await?;
        }
        let mut bytes = vec![0; length];
        input.read_exact(&mut bytes).await?;
        tokens.push(Token::Text(bytes));
    }
    Ok(Some(problem.map_or(Ok(tokens), Err)))
}

/// Splits `… {12}` or `… {12+}` off a line: its length, and whether the client waits for us.
fn split_literal(line: &[u8]) -> (&[u8], Option<(usize, bool)>) {
    let found = (|| {
        let inner = line.strip_suffix(b"}")?;
        let start = inner.iter().rposition(|&byte| byte == b'{')?;
        let number = std::str::from_utf8(&inner[start + 1..]).ok()?;
        let (number, wait) = match number.strip_suffix('+') {
            Some(number) => (number, false),
            None => (number, true),
        };
        Some((start, number.parse().ok()?, wait))
    })();
    match found {
        Some((start, length, wait)) => (&line[..start], Some((length, wait))),
        None => (line, None),
    }
}

/// Appends the tokens of one line.
fn tokenize(mut rest: &[u8], tokens: &mut Vec<Token>) -> Result<(), &'static str> {
    while let Some((&first, tail)) = rest.split_first() {
        match first {
            b' ' => rest = tail,
            b'(' => {
                tokens.push(Token::Open);
                rest = tail;
            }
            b')' => {
                tokens.push(Token::Close);
                rest = tail;
            }
            b'"' => {
                let (text, tail) = quoted(tail)?;
                tokens.push(Token::Text(text));
                rest = tail;
            }
            _ => {
                let length = atom_length(rest);
                let text = std::str::from_utf8(&rest[..length]).map_err(|_| "atoms are ASCII")?;
                tokens.push(Token::Atom(text.to_owned()));
                rest = &rest[length..];
            }
        }
    }
    Ok(())
}

fn quoted(mut rest: &[u8]) -> Result<(Vec<u8>, &[u8]), &'static str> {
    let mut text = Vec::new();
    loop {
        match rest {
            [b'"', tail @ ..] => return Ok((text, tail)),
            [b'\\', escaped, tail @ ..] => {
                text.push(*escaped);
                rest = tail;
            }
            [byte, tail @ ..] => {
                text.push(*byte);
                rest = tail;
            }
            [] => return Err("a quoted string is not closed"),
        }
    }
}

/// How far the atom at the start of `text` reaches; brackets may hold spaces and parentheses.
fn atom_length(text: &[u8]) -> usize {
    let mut in_brackets = false;
    for (index, byte) in text.iter().enumerate() {
        match byte {
            b'[' => in_brackets = true,
            b']' => in_brackets = false,
            b' ' | b'(' | b')' | b'"' if !in_brackets => return index,
            _ => {}
        }
    }
    text.len()
}

/// A set of numbers: `1,3:5,7:*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Set(Vec<(u32, u32)>);

impl Set {
    /// Reads a set; `*` is `last`, the highest number there is.
    pub(super) fn parse(text: &str, last: u32) -> Option<Self> {
        let number = |text: &str| -> Option<u32> {
            if text == "*" {
                Some(last)
            } else {
                text.parse().ok().filter(|&number| number > 0)
            }
        };
        text.split(',')
            .map(|part| {
                let (from, to) = part.split_once(':').unwrap_or((part, part));
                let (from, to) = (number(from)?, number(to)?);
                Some((from.min(to), from.max(to)))
            })
            .collect::<Option<_>>()
            .map(Self)
    }

    /// Whether the set holds this number.
    pub(super) fn contains(&self, number: u32) -> bool {
        self.0
            .iter()
            .any(|&(from, to)| (from..=to).contains(&number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(line: &str) -> Vec<Token> {
        let mut tokens = Vec::new();
        tokenize(line.as_bytes(), &mut tokens).expect("a well-formed line");
        tokens
    }

    #[test]
    fn sections_belong_to_their_atom() {
        assert_eq!(
            tokens("FETCH 1 (UID BODY.PEEK[HEADER.FIELDS (FROM TO)] BODY.PEEK[]<0.10>)"),
            [
                Token::Atom("FETCH".into()),
                Token::Atom("1".into()),
                Token::Open,
                Token::Atom("UID".into()),
                Token::Atom("BODY.PEEK[HEADER.FIELDS (FROM TO)]".into()),
                Token::Atom("BODY.PEEK[]<0.10>".into()),
                Token::Close,
            ]
        );
    }

    #[test]
    fn quoted_strings_keep_spaces_and_lose_escapes() {
        assert_eq!(
            tokens(r#""a \"b\\c" d"#)[0],
            Token::Text(br#"a "b\c"#.to_vec())
        );
        assert_eq!(
            tokenize(b"\"open", &mut Vec::new()),
            Err("a quoted string is not closed")
        );
    }

    #[test]
    fn literals_are_split_off() {
        assert_eq!(
            split_literal(b"LOGIN {5}"),
            (&b"LOGIN "[..], Some((5, true)))
        );
        assert_eq!(
            split_literal(b"LOGIN {5+}"),
            (&b"LOGIN "[..], Some((5, false)))
        );
        assert_eq!(split_literal(b"LOGIN {x}"), (&b"LOGIN {x}"[..], None));
    }

    #[test]
    fn sets_know_star_and_reversed_ranges() {
        let set = Set::parse("1,5:3,9:*", 7).expect("a set");
        let held: Vec<u32> = (1..=10).filter(|&number| set.contains(number)).collect();
        assert_eq!(held, [1, 3, 4, 5, 7, 8, 9]);
        assert_eq!(Set::parse("0", 7), None);
        assert_eq!(Set::parse("a", 7), None);
    }
}
