//! Listings in HTML.
//!
//! No tree is built. A page is a sequence of rows: table rows, or lines, or what `<br>` separates. In
//! a row, a link to something directly below the directory is an entry, and the text around it may
//! tell time and size. All else (parents, sort links, menus, other hosts) is passed over.

use std::collections::VecDeque;

use jiff::tz::TimeZone;
use percent_encoding::percent_decode_str;
use reqwest::Url;

use super::row;
use crate::{Entry, EntryKind, Error};

/// Longest row; what is longer is no listing of names.
const ROW_MAX: usize = 16 << 10;

/// A parser of such a page.
pub(super) struct Html {
    base: Url,
    timezone: TimeZone,
    row: Vec<u8>,
    /// Inside `<tr>`, where line ends mean nothing.
    in_table_row: bool,
    /// Inside `<script>`, `<style>` or a comment: everything up to this is skipped.
    skip_until: Option<&'static [u8]>,
    /// The name of the last entry: icon and name may both be links.
    last: String,
}

impl Html {
    pub(super) fn new(base: Url, timezone: TimeZone) -> Self {
        Self {
            base,
            timezone,
            row: Vec::new(),
            in_table_row: false,
            skip_until: None,
            last: String::new(),
        }
    }

    pub(super) fn feed(&mut self, data: &[u8], found: &mut VecDeque<Entry>) -> Result<(), Error> {
        for &byte in data {
            self.row.push(byte);
            if let Some(end) = self.skip_until {
                if ends_with(&self.row, end) {
                    self.skip_until = None;
                    self.row.clear();
                } else if self.row.len() > ROW_MAX {
                    self.row.drain(..ROW_MAX - end.len());
                }
                continue;
            }
            match byte {
                b'\n' if !self.in_table_row => self.end_row(found, 0),
                b'>' => self.tag_ended(found),
                b'-' if ends_with(&self.row, b"<!--") => {
                    self.end_row(found, 4);
                    self.skip_until = Some(b"-->");
                }
                _ => {}
            }
            if self.row.len() > ROW_MAX {
                self.row.clear();
                self.in_table_row = false;
            }
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, found: &mut VecDeque<Entry>) {
        if self.skip_until.is_none() {
            self.end_row(found, 0);
        }
    }

    /// A tag just ended; some end the row as well.
    fn tag_ended(&mut self, found: &mut VecDeque<Entry>) {
        let Some(start) = self.row.iter().rposition(|byte| *byte == b'<') else {
            return;
        };
        let length = self.row.len() - start;
        let name: Vec<u8> = self.row[start + 1..]
            .iter()
            .take(8)
            .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'/')
            .map(u8::to_ascii_lowercase)
            .collect();
        match name.strip_suffix(b"/").unwrap_or(&name) {
            b"tr" => {
                self.end_row(found, length);
                self.in_table_row = true;
            }
            b"/tr" | b"/table" => {
                self.end_row(found, length);
                self.in_table_row = false;
            }
            b"br" | b"hr" | b"/li" | b"/p" | b"/div" if !self.in_table_row => {
                self.end_row(found, length);
            }
            b"script" => self.skip_until = Some(b"</script>"),
            b"style" => self.skip_until = Some(b"</style>"),
            _ => {}
        }
    }

    /// Reads the row, but for its last `rest` bytes, and starts the next.
    fn end_row(&mut self, found: &mut VecDeque<Entry>, rest: usize) {
        let mut row = std::mem::take(&mut self.row);
        row.truncate(row.len() - rest);
        if row.len() > 4 {
            self.read_row(&String::from_utf8_lossy(&row), found);
        }
        row.clear();
        self.row = row;
    }

    fn read_row(&mut self, row: &str, found: &mut VecDeque<Entry>) {
        let links: Vec<row::Link<'_>> = row::links(row).collect();
        let entries: Vec<(usize, String, EntryKind)> = links
            .iter()
            .enumerate()
            .filter_map(|(number, link)| {
                let (name, kind) = self.below(&row::unescape(link.href))?;
                Some((number, name, kind))
            })
            .collect();
        let several = entries.windows(2).any(|pair| pair[0].1 != pair[1].1);
        for (number, name, kind) in entries {
            if name == self.last {
                continue;
            }
            // The words around the link, never its own: a name may look like a date.
            let link = &links[number];
            let after = if several {
                let end = links.get(number + 1).map_or(row.len(), |next| next.start);
                vec![&row[link.end..end.max(link.end)]]
            } else {
                let mut parts = Vec::with_capacity(links.len() + 1);
                let mut from = 0;
                for link in &links {
                    parts.push(&row[from..link.start]);
                    from = link.end;
                }
                parts.push(&row[from..]);
                parts
            };
            let facts = row::facts(&after, &self.timezone);
            found.push_back(Entry {
                size: facts.size.filter(|_| kind == EntryKind::File),
                mtime: facts.mtime,
                kind,
                name: name.clone(),
                ..Entry::default()
            });
            self.last = name;
        }
    }

    /// What a link points to, if that is directly below the directory.
    fn below(&self, href: &str) -> Option<(String, EntryKind)> {
        let url = self.base.join(href.trim()).ok()?;
        if url.origin() != self.base.origin() || url.query().is_some() || url.fragment().is_some() {
            return None;
        }
        let rest = url.path().strip_prefix(self.base.path())?;
        let (name, kind) = match rest.strip_suffix('/') {
            Some(name) => (name, EntryKind::Directory),
            None => (rest, EntryKind::File),
        };
        if name.is_empty() || name.contains('/') {
            return None;
        }
        let name = percent_decode_str(name).decode_utf8().ok()?.into_owned();
        Some((name, kind))
    }
}

fn ends_with(row: &[u8], end: &[u8]) -> bool {
    row.len() >= end.len() && row[row.len() - end.len()..].eq_ignore_ascii_case(end)
}

#[cfg(test)]
mod tests;
