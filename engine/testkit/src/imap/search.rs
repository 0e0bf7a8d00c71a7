//! SEARCH: the keys that need nothing but flags, sizes, dates and numbers.
//!
//! Keys that look into texts (SUBJECT, BODY, …) are refused by name: a client that filters on the
//! server's word should not be answered wrongly.

use super::command::{Set, Token};
use super::store::Mail;

/// A condition.
#[derive(Debug)]
enum Key {
    All,
    Never,
    Flag(&'static str),
    Keyword(String),
    Sequence(Set),
    Uid(Set),
    Larger(usize),
    Smaller(usize),
    Before(jiff::civil::Date),
    On(jiff::civil::Date),
    Since(jiff::civil::Date),
    Not(Box<Key>),
    Or(Box<Key>, Box<Key>),
    Every(Vec<Key>),
}

/// A parsed SEARCH.
#[derive(Debug)]
pub(super) struct Search(Key);

impl Search {
    /// Reads the arguments of SEARCH. `last_number` and `last_uid` are what `*` means.
    pub(super) fn parse(tokens: &[Token], last_number: u32, last_uid: u32) -> Result<Self, String> {
        let mut parser = Parser {
            tokens,
            last_number,
            last_uid,
        };
        if parser
            .tokens
            .first()
            .is_some_and(|token| token.is("CHARSET"))
        {
            parser.tokens = parser.tokens.get(2..).unwrap_or_default();
        }
        let mut keys = Vec::new();
        while !parser.tokens.is_empty() {
            keys.push(parser.key(0)?);
        }
        if keys.is_empty() {
            Err("SEARCH needs a key".into())
        } else {
            Ok(Self(Key::Every(keys)))
        }
    }

    /// Whether mail number `number` is meant.
    pub(super) fn matches(&self, number: u32, mail: &Mail) -> bool {
        matches(&self.0, number, mail)
    }
}

struct Parser<'a> {
    tokens: &'a [Token],
    last_number: u32,
    last_uid: u32,
}

/// Deeper nesting than any client sends.
const MAX_DEPTH: usize = 32;

impl Parser<'_> {
    fn next(&mut self) -> Result<Token, String> {
        let (first, rest) = self
            .tokens
            .split_first()
            .ok_or("a SEARCH key lacks its argument")?;
        self.tokens = rest;
        Ok(first.clone())
    }

    fn text(&mut self) -> Result<String, String> {
        self.next()?
            .text()
            .ok_or_else(|| "a SEARCH key lacks its argument".into())
    }

    fn number(&mut self) -> Result<usize, String> {
        self.text()?
            .parse()
            .map_err(|_| "a SEARCH key wants a number".into())
    }

    fn date(&mut self) -> Result<jiff::civil::Date, String> {
        let text = self.text()?;
        jiff::civil::Date::strptime("%d-%b-%Y", &text).map_err(|_| format!("`{text}` is no date"))
    }

    fn set(&mut self, text: &str, last: u32) -> Result<Set, String> {
        Set::parse(text, last).ok_or_else(|| format!("this server has no SEARCH key `{text}`"))
    }

    fn key(&mut self, depth: usize) -> Result<Key, String> {
        if depth > MAX_DEPTH {
            return Err("SEARCH keys nest too deep".into());
        }
        let token = self.next()?;
        if token == Token::Open {
            let mut keys = Vec::new();
            while self
                .tokens
                .first()
                .is_some_and(|token| *token != Token::Close)
            {
                keys.push(self.key(depth + 1)?);
            }
            self.next()?;
            return Ok(Key::Every(keys));
        }
        let word = token.text().ok_or("SEARCH keys do not start with `)`")?;
        let not = |flag| Key::Not(Box::new(Key::Flag(flag)));
        Ok(match word.to_ascii_uppercase().as_str() {
            "ALL" | "OLD" => Key::All,
            // Nothing is ever \Recent here: sessions do not claim mails.
            "NEW" | "RECENT" => Key::Never,
            "SEEN" => Key::Flag("\\Seen"),
            "UNSEEN" => not("\\Seen"),
            "DELETED" => Key::Flag("\\Deleted"),
            "UNDELETED" => not("\\Deleted"),
            "FLAGGED" => Key::Flag("\\Flagged"),
            "UNFLAGGED" => not("\\Flagged"),
            "ANSWERED" => Key::Flag("\\Answered"),
            "UNANSWERED" => not("\\Answered"),
            "DRAFT" => Key::Flag("\\Draft"),
            "UNDRAFT" => not("\\Draft"),
            "KEYWORD" => Key::Keyword(self.text()?),
            "UNKEYWORD" => Key::Not(Box::new(Key::Keyword(self.text()?))),
            "LARGER" => Key::Larger(self.number()?),
            "SMALLER" => Key::Smaller(self.number()?),
            "BEFORE" => Key::Before(self.date()?),
            "ON" => Key::On(self.date()?),
            "SINCE" => Key::Since(self.date()?),
            "NOT" => Key::Not(Box::new(self.key(depth + 1)?)),
            "OR" => Key::Or(
                Box::new(self.key(depth + 1)?),
                Box::new(self.key(depth + 1)?),
            ),
            "UID" => {
                let text = self.text()?;
                Key::Uid(self.set(&text, self.last_uid)?)
            }
            _ => Key::Sequence(self.set(&word, self.last_number)?),
        })
    }
}

fn matches(key: &Key, number: u32, mail: &Mail) -> bool {
    let day = || mail.arrived.to_zoned(jiff::tz::TimeZone::UTC).date();
    match key {
        Key::All => true,
        Key::Never => false,
        Key::Flag(flag) => mail.flags.contains(*flag),
        Key::Keyword(flag) => mail.flags.contains(flag),
        Key::Sequence(set) => set.contains(number),
        Key::Uid(set) => set.contains(mail.uid),
        Key::Larger(size) => mail.raw.len() > *size,
        Key::Smaller(size) => mail.raw.len() < *size,
        Key::Before(date) => day() < *date,
        Key::On(date) => day() == *date,
        Key::Since(date) => day() >= *date,
        Key::Not(key) => !matches(key, number, mail),
        Key::Or(a, b) => matches(a, number, mail) || matches(b, number, mail),
        Key::Every(keys) => keys.iter().all(|key| matches(key, number, mail)),
    }
}
