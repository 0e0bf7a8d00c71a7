//! The body of one entity on its way to a part: transfer decoding, then bytes, text or a mail.

use std::rc::Rc;

use crate::charset::TextDecoder;
use crate::entity::Text;
use crate::flowed::Lines;
use crate::job::{Headers, Job, NewPart, Open};
use crate::names;
use crate::options::Kind;
use crate::sink::Sink;
use crate::splitter::Splitter;
use crate::transfer::Transfer;
use crate::uu::{Event, UuScan};
use crate::words;

/// What decoded bytes become.
pub(crate) enum Target<S: Sink> {
    /// A part, byte for byte.
    Bytes(Open<S>),
    /// A part in UTF-8, and files found inside it.
    Text(Box<TextBody<S>>),
    /// Parts of a nested mail.
    Message(Box<Splitter<S>>),
}

/// A body being read.
pub(crate) struct Body<S: Sink> {
    transfer: Transfer,
    target: Target<S>,
    decoded: Vec<u8>,
}

impl<S: Sink> Body<S> {
    pub(crate) fn new(transfer: Transfer, target: Target<S>) -> Self {
        Self {
            transfer,
            target,
            decoded: Vec::new(),
        }
    }

    pub(crate) fn feed(&mut self, data: &[u8], job: &mut Job<'_, S>) -> Result<(), S::Error> {
        self.decoded.clear();
        match self.transfer.feed(data, &mut self.decoded) {
            None => self.target.feed(data, job),
            Some(()) => self.target.feed(&self.decoded, job),
        }
    }

    pub(crate) fn finish(mut self, job: &mut Job<'_, S>) -> Result<(), S::Error> {
        self.decoded.clear();
        self.transfer.finish(&mut self.decoded);
        self.target.feed(&self.decoded, job)?;
        match self.target {
            Target::Bytes(open) => open.finish(job),
            Target::Text(text) => text.finish(job),
            Target::Message(mut splitter) => splitter.finish(job).map(|_| ()),
        }
    }
}

impl<S: Sink> Target<S> {
    fn feed(&mut self, data: &[u8], job: &mut Job<'_, S>) -> Result<(), S::Error> {
        if data.is_empty() {
            return Ok(());
        }
        match self {
            Self::Bytes(open) => open.write(data, job),
            Self::Text(text) => text.feed(data, job),
            Self::Message(splitter) => splitter.feed(data, job),
        }
    }
}

/// Text on its way to UTF-8.
pub(crate) struct TextBody<S: Sink> {
    sheet: Sheet<S>,
    /// Looks for uuencoded files, in plain text.
    scan: Option<UuScan>,
    files: Files<S>,
}

/// The part the text itself goes to; absent where nobody wants it.
struct Sheet<S: Sink> {
    open: Option<Open<S>>,
    decoder: TextDecoder,
    lines: Lines,
    /// A byte order mark may have to come first: an HTML text may declare the charset it no longer
    /// has, and the mark is what browsers believe more.
    mark: bool,
    decoded: String,
    shaped: String,
}

/// Files found inside the text.
struct Files<S: Sink> {
    dir: Rc<str>,
    path: String,
    nested: Option<Rc<Headers>>,
    count: usize,
    open: Option<Open<S>>,
}

impl<S: Sink> TextBody<S> {
    pub(crate) fn new(
        open: Option<Open<S>>,
        text: Text,
        dir: Rc<str>,
        path: String,
        nested: Option<Rc<Headers>>,
    ) -> Self {
        Self {
            sheet: Sheet {
                open,
                decoder: TextDecoder::new(text.charset, text.html),
                lines: Lines::new(text.flowed, text.del_sp),
                mark: text.html,
                decoded: String::new(),
                shaped: String::new(),
            },
            scan: text.plain.then(UuScan::default),
            files: Files {
                dir,
                path,
                nested,
                count: 0,
                open: None,
            },
        }
    }

    fn feed(&mut self, data: &[u8], job: &mut Job<'_, S>) -> Result<(), S::Error> {
        let Self { sheet, scan, files } = self;
        match scan {
            Some(scan) => scan.feed(data, &mut |event| route(event, sheet, files, job)),
            None => sheet.feed(data, job),
        }
    }

    fn finish(self, job: &mut Job<'_, S>) -> Result<(), S::Error> {
        let Self {
            mut sheet,
            scan,
            mut files,
        } = self;
        if let Some(mut scan) = scan {
            scan.finish(&mut |event| route(event, &mut sheet, &mut files, job))?;
        }
        sheet.finish(job)
    }
}

fn route<S: Sink>(
    event: Event<'_>,
    sheet: &mut Sheet<S>,
    files: &mut Files<S>,
    job: &mut Job<'_, S>,
) -> Result<(), S::Error> {
    match event {
        Event::Text(text) => sheet.feed(text, job),
        Event::Begin(name) => files.begin(name, job),
        Event::Data(data) => match &mut files.open {
            Some(open) => open.write(data, job),
            None => Ok(()),
        },
        Event::End => match files.open.take() {
            Some(open) => open.finish(job),
            None => Ok(()),
        },
    }
}

impl<S: Sink> Sheet<S> {
    fn feed(&mut self, data: &[u8], job: &mut Job<'_, S>) -> Result<(), S::Error> {
        if self.open.is_none() {
            return Ok(());
        }
        self.decoded.clear();
        self.decoder.feed(data, &mut self.decoded);
        self.write(job)
    }

    fn write(&mut self, job: &mut Job<'_, S>) -> Result<(), S::Error> {
        self.shaped.clear();
        self.lines.feed(&self.decoded, &mut self.shaped);
        self.pass(job)
    }

    fn pass(&mut self, job: &mut Job<'_, S>) -> Result<(), S::Error> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        if self.mark && !self.shaped.is_empty() {
            self.mark = false;
            if self.decoder.is_foreign() {
                open.write("\u{feff}".as_bytes(), job)?;
            }
        }
        open.write(self.shaped.as_bytes(), job)
    }

    fn finish(mut self, job: &mut Job<'_, S>) -> Result<(), S::Error> {
        self.decoded.clear();
        self.decoder.finish(&mut self.decoded);
        self.write(job)?;
        self.shaped.clear();
        self.lines.finish(&mut self.shaped);
        self.pass(job)?;
        let Some(mut open) = self.open else {
            return Ok(());
        };
        if let Some(guessed) = self.decoder.guessed() {
            open.headers.push(("charsetGuessed", guessed.to_owned()));
        }
        open.finish(job)
    }
}

impl<S: Sink> Files<S> {
    fn begin(&mut self, name: &[u8], job: &mut Job<'_, S>) -> Result<(), S::Error> {
        self.count += 1;
        // Each file counts like an entity, or a text full of tiny ones would get round the limit.
        if !job.admit() {
            return Ok(());
        }
        let path = format!("{}.{}", self.path, self.count);
        let name = words::decode(name);
        self.open = job.open(NewPart {
            dir: &self.dir,
            kind: Kind::Attachment,
            path: &path,
            name: Some(&name),
            fallback: &format!("part-{path}{}", names::extension("")),
            content_type: "application/octet-stream",
            nested: self.nested.clone(),
        })?;
        Ok(())
    }
}
