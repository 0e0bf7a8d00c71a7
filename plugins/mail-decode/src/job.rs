//! One mail's decoding as a whole: who gets which name, what was written, what was cut off.
//!
//! Invariants: names depend on the mail alone, not on what is wanted or how the input was cut;
//! parts are listed in the order in which they start in the mail.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::names::{self, Names};
use crate::options::{Kind, Options};
use crate::sink::Sink;
use crate::words::capped;

/// The most a sink is given at once.
const PIECE: usize = 64 * 1024;
/// Longest original file name told, bytes.
const FILENAME: usize = 1024;

/// Named values, in order.
pub type Headers = Vec<(&'static str, String)>;

/// A part that was written.
#[derive(Debug)]
pub struct Part<C> {
    /// Path below the mail's own root.
    pub rel_path: String,
    /// `type/subtype`, lower case.
    pub content_type: String,
    /// What is known of this part alone.
    pub headers: Headers,
    /// What is known of the nested mail it is in, if it is in one.
    pub nested: Option<Rc<Headers>>,
    /// What the sink made of it.
    pub content: C,
}

/// Why something of a mail is in none of its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incomplete {
    /// More entities than `max_parts`.
    Parts,
    /// A header block longer than `max_header`.
    Header,
    /// A multipart in which its boundary never came.
    Boundary,
}

impl Incomplete {
    /// The reason in words.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Parts => "it has more parts than `max_parts`",
            Self::Header => "one of its headers is longer than `max_header`",
            Self::Boundary => "the boundary of a multipart never comes",
        }
    }
}

/// A part about to be written.
pub(crate) struct NewPart<'a> {
    /// Directory below the mail's root, empty or ending in `/`.
    pub dir: &'a str,
    pub kind: Kind,
    pub path: &'a str,
    pub name: Option<&'a str>,
    pub fallback: &'a str,
    pub content_type: &'a str,
    pub nested: Option<Rc<Headers>>,
}

pub(crate) struct Job<'a, S: Sink> {
    pub sink: &'a mut S,
    pub options: &'a Options,
    stem: &'a str,
    names: BTreeMap<String, Names>,
    /// One place per part that was opened; filled when it is finished.
    pub slots: Vec<Option<Part<S::Content>>>,
    pub mail: Headers,
    pub entities: usize,
    /// Parts come across, wanted or not.
    pub found: usize,
    pub incomplete: Option<Incomplete>,
}

impl<'a, S: Sink> Job<'a, S> {
    pub(crate) fn new(stem: &'a str, options: &'a Options, sink: &'a mut S) -> Self {
        Self {
            sink,
            options,
            stem,
            names: BTreeMap::new(),
            slots: Vec::new(),
            mail: Headers::new(),
            entities: 0,
            found: 0,
            incomplete: None,
        }
    }

    /// Notes that something is lost; the first reason stays.
    pub(crate) fn lost(&mut self, reason: Incomplete) {
        self.incomplete.get_or_insert(reason);
    }

    /// Counts an entity; says whether it is still within `max_parts`.
    pub(crate) fn admit(&mut self) -> bool {
        if self.entities >= self.options.max_parts {
            self.lost(Incomplete::Parts);
            return false;
        }
        self.entities += 1;
        true
    }

    /// Takes a directory name for a nested mail.
    pub(crate) fn directory(&mut self, path: &str) -> String {
        let names = self.names.entry(String::new()).or_default();
        format!("{}/", names.unique(path))
    }

    /// Names a part and opens it, unless nobody wants it.
    pub(crate) fn open(&mut self, new: NewPart<'_>) -> Result<Option<Open<S>>, S::Error> {
        self.found += 1;
        let names = self.names.entry(new.dir.to_owned()).or_default();
        let name = new.name.and_then(names::safe);
        let name = names.unique(name.as_deref().unwrap_or(new.fallback));
        if !self.options.wants(new.kind) {
            return Ok(None);
        }
        let slash = if self.stem.is_empty() { "" } else { "/" };
        let rel_path = format!("{}{slash}{}{name}", self.stem, new.dir);
        let Some(writer) = self.sink.open(&rel_path, new.content_type)? else {
            return Ok(None);
        };
        let mut headers = vec![
            ("part", new.path.to_owned()),
            ("disposition", new.kind.disposition().to_owned()),
        ];
        if let Some(given) = new.name {
            headers.push((
                "filename",
                capped(&crate::words::printable(given), FILENAME).into_owned(),
            ));
        }
        let slot = self.slots.len();
        self.slots.push(None);
        Ok(Some(Open {
            writer,
            slot,
            rel_path,
            content_type: new.content_type.to_owned(),
            headers,
            nested: new.nested,
        }))
    }
}

/// A part being written.
pub(crate) struct Open<S: Sink> {
    writer: S::Writer,
    slot: usize,
    rel_path: String,
    content_type: String,
    pub headers: Headers,
    nested: Option<Rc<Headers>>,
}

impl<S: Sink> Open<S> {
    pub(crate) fn write(&mut self, data: &[u8], job: &mut Job<'_, S>) -> Result<(), S::Error> {
        for piece in data.chunks(PIECE) {
            job.sink.write(&mut self.writer, piece)?;
        }
        Ok(())
    }

    pub(crate) fn finish(self, job: &mut Job<'_, S>) -> Result<(), S::Error> {
        let content = job.sink.finish(self.writer)?;
        job.slots[self.slot] = Some(Part {
            rel_path: self.rel_path,
            content_type: self.content_type,
            headers: self.headers,
            nested: self.nested,
            content,
        });
        Ok(())
    }
}
