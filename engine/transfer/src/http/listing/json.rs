//! Listings in JSON: an array of objects, taken apart one object at a time.

use std::collections::VecDeque;

use flow_message::Timestamp;
use serde::Deserialize;

use crate::http::url::http_date;
use crate::{Entry, EntryKind, Error};

/// Longest object; a name is at most a few hundred bytes.
const OBJECT_MAX: usize = 64 << 10;

/// A parser of such an array.
pub(super) struct Json {
    url: String,
    object: Vec<u8>,
    depth: usize,
    in_string: bool,
    escaped: bool,
    begun: bool,
    ended: bool,
}

/// An entry as nginx or Caddy writes it.
#[derive(Deserialize)]
struct Item {
    name: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    size: Option<u64>,
    /// nginx, like a header.
    mtime: Option<String>,
    /// Caddy, RFC 3339.
    mod_time: Option<String>,
    /// Caddy: Go's bits, of which the lowest nine are the permissions.
    mode: Option<u32>,
    is_dir: Option<bool>,
    is_symlink: Option<bool>,
}

impl Json {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            object: Vec::new(),
            depth: 0,
            in_string: false,
            escaped: false,
            begun: false,
            ended: false,
        }
    }

    pub(super) fn feed(&mut self, data: &[u8], found: &mut VecDeque<Entry>) -> Result<(), Error> {
        for &byte in data {
            if self.depth == 0 {
                match byte {
                    b'[' if !self.begun => self.begun = true,
                    b'{' if self.begun && !self.ended => {
                        self.depth = 1;
                        self.object.push(byte);
                    }
                    b']' if self.begun => self.ended = true,
                    b',' if self.begun && !self.ended => {}
                    byte if byte.is_ascii_whitespace() => {}
                    _ => return Err(self.wrong("is no array of objects")),
                }
                continue;
            }
            self.object.push(byte);
            if self.object.len() > OBJECT_MAX {
                return Err(self.wrong("has an object of more than 64 KiB"));
            }
            if self.step(byte) {
                found.extend(self.entry()?);
                self.object.clear();
            }
        }
        Ok(())
    }

    /// Goes one byte further inside an object; true at its end.
    fn step(&mut self, byte: u8) -> bool {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' => self.depth += 1,
            b'}' => self.depth -= 1,
            _ => {}
        }
        self.depth == 0
    }

    fn entry(&self) -> Result<Option<Entry>, Error> {
        let item: Item = serde_json::from_slice(&self.object)
            .map_err(|error| self.wrong(&format!("has an entry that can't be read: {error}")))?;
        let name = item.name.trim_end_matches('/');
        let kind = match item.kind.as_deref() {
            _ if item.is_symlink == Some(true) => EntryKind::Link,
            Some("directory") => EntryKind::Directory,
            Some("file") => EntryKind::File,
            Some(_) => EntryKind::Other,
            None if item.is_dir == Some(true) || name.len() < item.name.len() => {
                EntryKind::Directory
            }
            None => EntryKind::File,
        };
        let mtime = item.mtime.as_deref().and_then(http_date).or_else(|| {
            let time: jiff::Timestamp = item.mod_time?.parse().ok()?;
            Some(Timestamp::from(time))
        });
        Ok(Some(Entry {
            name: name.to_owned(),
            kind,
            size: item.size.filter(|_| kind == EntryKind::File),
            mtime,
            mode: item.mode.map(|mode| mode & 0o777).filter(|mode| *mode != 0),
            target: None,
        }))
    }

    pub(super) fn finish(&mut self) -> Result<(), Error> {
        if self.ended {
            return Ok(());
        }
        // Everything parsed so far is good, but who knows what is missing.
        Err(Error::broken(format!(
            "the listing `{}` ends early",
            self.url
        )))
    }

    fn wrong(&self, what: &str) -> Error {
        Error::temporary(format!("the listing `{}` {what}", self.url))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::Json;
    use crate::{Entry, EntryKind, Error};

    fn parse(text: &str, piece: usize) -> Result<Vec<Entry>, Error> {
        let mut json = Json::new("http://h/");
        let mut found = VecDeque::new();
        for piece in text.as_bytes().chunks(piece) {
            json.feed(piece, &mut found)?;
        }
        json.finish()?;
        Ok(found.into())
    }

    #[test]
    fn nginx() {
        let text = r#"[
{ "name":"sub", "type":"directory", "mtime":"Sun, 22 Nov 2026 01:52:06 GMT" },
{ "name":"a \"{b}\".txt", "type":"file", "mtime":"Sun, 22 Nov 2026 01:52:06 GMT", "size":17 }
]"#;
        for piece in [1, 7, 10_000] {
            let found = parse(text, piece).unwrap();
            assert_eq!(found.len(), 2);
            assert_eq!(
                (found[0].name.as_str(), found[0].kind),
                ("sub", EntryKind::Directory)
            );
            assert_eq!(found[1].name, "a \"{b}\".txt");
            assert_eq!(found[1].size, Some(17));
            assert_eq!(found[1].mtime.unwrap().to_string(), "20261122T015206");
        }
        assert_eq!(parse("[]", 1).unwrap(), []);
    }

    #[test]
    fn caddy() {
        let text = r#"[{"name":"d/","size":4096,"url":"./d/","mod_time":"2026-11-22T01:52:06.5Z","mode":2147484141,"is_dir":true,"is_symlink":false},
            {"name":"f","size":3,"url":"./f","mod_time":"2026-11-22T01:52:06Z","mode":420,"is_dir":false,"is_symlink":false}]"#;
        let found = parse(text, 100).unwrap();
        assert_eq!(
            (found[0].name.as_str(), found[0].kind),
            ("d", EntryKind::Directory)
        );
        assert_eq!(found[0].size, None);
        assert_eq!((found[1].size, found[1].mode), (Some(3), Some(0o644)));
    }

    #[test]
    fn what_is_cut_or_something_else_is_an_error() {
        assert!(
            parse(r#"[{"name":"a","type":"file"},"#, 5)
                .unwrap_err()
                .is_broken()
        );
        for text in [r#"{"error":"no"}"#, "[1]", r#"[{"nom":"x"}]"#, "<html>"] {
            assert!(parse(text, 5).is_err(), "{text}");
        }
    }
}
