//! The content of the messages of one call.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flow_config::{Filters, Flow};
use flow_message::{Identity, Inline, InlineEncoding, Message, Timestamp};

use super::commit::with_hash;
use super::file::{BytesReader, Draft, open};
use super::held::Sheet;
use super::moving::{self, Moving};
use super::{Held, Identify, Local, Method, Stored, Written};
use crate::filter::{self, Placed, Roots};
use crate::nodupe::short_hash;
use crate::ports::{Content, ContentReader, ContentWriter, Failure, Location, Observer};

/// Where the content of a message is.
#[derive(Debug, Default)]
pub(crate) enum Body {
    /// Elsewhere, or inside the message.
    #[default]
    Away,
    /// Downloaded in this call, and not made a file yet.
    Held(Held),
    /// Written in this pass.
    Stored(Stored),
    /// A file that was here before, and is not ours to move.
    Here(PathBuf),
    /// It was sent to another machine, from this file.
    Sent(Option<PathBuf>),
}

impl Body {
    /// The file to read it from.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::Away | Self::Held(_) => None,
            Self::Stored(stored) => Some(stored.path()),
            Self::Here(path) => Some(path),
            Self::Sent(path) => path.as_deref(),
        }
    }
}

/// An item of a call, as far as its content goes.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) key: String,
    pub(crate) born: Timestamp,
    pub(crate) message: Arc<Message>,
    pub(crate) placed: Option<Placed>,
    pub(crate) path: Option<PathBuf>,
    pub(crate) held: Option<Held>,
}

/// What a finished writer wrote.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) item: u64,
    pub(crate) written: Written,
    /// Where derived content goes.
    pub(crate) derivation: Option<Derivation>,
}

/// Where derived content goes.
#[derive(Debug, Clone)]
pub(crate) struct Derivation {
    pub(crate) placed: Placed,
    /// Tells it from other content that wants the same name.
    pub(crate) hash: String,
}

/// The content of the messages of one call.
pub(crate) struct CallContent {
    local: Arc<Local>,
    flow: Arc<Flow>,
    observer: Arc<dyn Observer>,
    /// Whose call it is.
    callback: usize,
    identify: Identify,
    /// Shared with the writers, which say what they write.
    sources: Arc<HashMap<u64, Source>>,
    finished: Arc<Mutex<HashMap<u64, Finished>>>,
}

impl CallContent {
    pub(crate) fn new(
        local: &Arc<Local>,
        flow: &Arc<Flow>,
        observer: &Arc<dyn Observer>,
        callback: usize,
        identify: Identify,
        sources: HashMap<u64, Source>,
    ) -> Arc<Self> {
        Arc::new(Self {
            local: Arc::clone(local),
            flow: Arc::clone(flow),
            observer: Arc::clone(observer),
            callback,
            identify,
            sources: Arc::new(sources),
            finished: Arc::default(),
        })
    }

    /// Takes everything that was finished, by handle. What nobody then uses is dropped, and gone.
    pub(crate) fn take(&self) -> HashMap<u64, Finished> {
        std::mem::take(&mut *lock(&self.finished))
    }

    fn source(&self, id: u64) -> Result<&Source, Failure> {
        self.sources
            .get(&id)
            .ok_or_else(|| Failure::Permanent(format!("message {id} is not in this call")))
    }

    fn writer(
        &self,
        id: u64,
        sheet: Sheet,
        derivation: Option<Derivation>,
    ) -> Box<dyn ContentWriter> {
        let source = self.sources.get(&id);
        let announced = source.and_then(|source| source.message.size);
        let total = announced.filter(|_| derivation.is_none());
        Box::new(Writer {
            sheet: Some(sheet),
            item: id,
            derivation,
            sources: Arc::clone(&self.sources),
            moving: Moving::new(&self.observer, total.unwrap_or_default()),
            handle: self.local.handle(),
            finished: Arc::clone(&self.finished),
        })
    }

    /// Where content derived as `rel_path` goes; none where it is not wanted.
    fn derivation(
        &self,
        source: &Source,
        rel_path: &str,
        content_type: Option<&str>,
    ) -> Result<Option<Derivation>, Failure> {
        let mut message = Message::clone(&source.message);
        rel_path.clone_into(&mut message.rel_path);
        message.content_type = content_type.map(str::to_owned);
        message.identity = None;
        message.size = None;
        let hash = short_hash(&[&source.key, rel_path]);
        let placed = match self
            .flow
            .callbacks
            .get(self.callback)
            .and_then(|spec| spec.filters.as_ref())
        {
            None => self.beside(source, rel_path),
            Some(filters) => match self.filtered(filters, source, &message) {
                None => return Ok(None),
                Some(placed) => placed,
            },
        };
        let placed = placed.map_err(|rejection| Failure::Permanent(rejection.reason))?;
        Ok(Some(Derivation { placed, hash }))
    }

    fn filtered(
        &self,
        filters: &Filters,
        source: &Source,
        message: &Message,
    ) -> Option<Result<Placed, crate::ports::Rejection>> {
        let found = filter::rules(filters, message).ok()?;
        let here = match (&found.placement.directory, &source.placed) {
            (None, Some(parent)) => &parent.location.directory,
            _ => &self.local.here,
        };
        Some(found.place(message, &message.rel_path, Roots::at(here), source.born))
    }

    /// In the directory of the message it comes from.
    fn beside(&self, source: &Source, rel_path: &str) -> Result<Placed, crate::ports::Rejection> {
        let elements = filter::elements(rel_path)?;
        let filename = elements.into_iter().next_back().unwrap_or_default();
        filter::check_element(&filename)?;
        Ok(match &source.placed {
            Some(parent) => Placed {
                location: Location {
                    directory: parent.location.directory.clone(),
                    filename,
                },
                root: parent.root.clone(),
            },
            None => Placed {
                location: Location {
                    directory: self.local.here.clone(),
                    filename,
                },
                root: self.local.here.clone(),
            },
        })
    }
}

fn lock(finished: &Mutex<HashMap<u64, Finished>>) -> MutexGuard<'_, HashMap<u64, Finished>> {
    finished.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Content for CallContent {
    fn open(&self, id: u64) -> Result<(Box<dyn ContentReader>, u64), Failure> {
        let source = self.source(id)?;
        if let Some(held) = &source.held {
            let reader = BytesReader::new(Arc::clone(held.bytes()));
            return Ok((Box::new(reader), held.size()));
        }
        if let Some(path) = &source.path {
            let (reader, size) = open(path)?;
            let name = &source.message.rel_path;
            let reader = moving::told(reader, size, name, &self.observer);
            return Ok((reader, size));
        }
        if let Some(inline) = &source.message.content {
            let bytes = decode_inline(inline)?;
            let length = bytes.len() as u64;
            return Ok((Box::new(BytesReader::new(Arc::new(bytes))), length));
        }
        let path = &source.message.rel_path;
        Err(Failure::Permanent(match self.flow.send_to {
            Some(_) => format!(
                "there is no content for `{path}`: it is no file of this machine; `baseDir` would say where such files are here"
            ),
            None => format!("the content of `{path}` is not here: this flow does not download it"),
        }))
    }

    fn create(&self, id: u64) -> Result<Box<dyn ContentWriter>, Failure> {
        let source = self.source(id)?;
        let Some(placed) = &source.placed else {
            return Err(Failure::Permanent("this flow stores no content".into()));
        };
        let method = self
            .local
            .streamed(source.message.identity.as_ref(), self.identify);
        if self.flow.transfer.delete_destination {
            return Ok(self.writer(id, Sheet::nowhere(method), None));
        }
        let (local, placed) = (Arc::clone(&self.local), placed.clone());
        let make = move || draft(&local, &placed, method);
        let sheet = match self.identify {
            Identify::Later => Sheet::held(
                &self.local,
                source.message.size.unwrap_or_default(),
                Box::new(make),
            ),
            Identify::Streaming | Identify::Never => Sheet::file(make()?),
        };
        Ok(self.writer(id, sheet, None))
    }

    fn derive(
        &self,
        id: u64,
        rel_path: &str,
        content_type: Option<&str>,
    ) -> Result<Option<Box<dyn ContentWriter>>, Failure> {
        let source = self.source(id)?;
        let Some(derivation) = self.derivation(source, rel_path, content_type)? else {
            return Ok(None);
        };
        let Placed { location, root } = &derivation.placed;
        let name = with_hash(&location.filename, &derivation.hash);
        let method = self.local.streamed(None, self.identify);
        let draft = Draft::create(&self.local, root, &location.directory, &name, false, method)?;
        Ok(Some(self.writer(id, Sheet::file(draft), Some(derivation))))
    }
}

/// Starts the file of a download.
fn draft(local: &Arc<Local>, placed: &Placed, method: Method) -> Result<Draft, Failure> {
    let Location {
        directory,
        filename,
    } = &placed.location;
    let plain = local.overwrite;
    Draft::create(local, &placed.root, directory, filename, plain, method)
}

/// Makes a file of a download that was held, and is to stay.
pub(crate) fn store(
    local: &Arc<Local>,
    placed: &Placed,
    held: &Held,
    announced: Option<&Identity>,
) -> Result<Stored, Failure> {
    let mut draft = draft(local, placed, local.method(announced))?;
    draft.write(held.bytes())?;
    draft.finish()
}

struct Writer {
    /// Taken by the end, or by an error.
    sheet: Option<Sheet>,
    item: u64,
    derivation: Option<Derivation>,
    sources: Arc<HashMap<u64, Source>>,
    moving: Moving,
    handle: u64,
    finished: Arc<Mutex<HashMap<u64, Finished>>>,
}

/// What people know the content of a writer by.
fn name_of<'a>(
    derivation: Option<&'a Derivation>,
    sources: &'a HashMap<u64, Source>,
    item: u64,
) -> &'a str {
    match (derivation, sources.get(&item)) {
        (Some(derivation), _) => &derivation.placed.location.filename,
        (None, Some(source)) => &source.message.rel_path,
        (None, None) => "",
    }
}

impl ContentWriter for Writer {
    fn write(&mut self, data: &[u8]) -> Result<(), Failure> {
        let sheet = self.sheet.take().ok_or_else(broken)?;
        self.sheet = Some(sheet.write(data)?);
        let (derivation, sources) = (self.derivation.as_ref(), &self.sources);
        self.moving
            .moved(data.len(), || name_of(derivation, sources, self.item));
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<u64, Failure> {
        let Self {
            sheet,
            item,
            derivation,
            sources,
            mut moving,
            handle,
            finished,
        } = *self;
        let written = sheet.ok_or_else(broken)?.finish()?;
        moving.ended(|| name_of(derivation.as_ref(), &sources, item));
        lock(&finished).insert(
            handle,
            Finished {
                item,
                written,
                derivation,
            },
        );
        Ok(handle)
    }
}

fn broken() -> Failure {
    Failure::temporary("an earlier part of the content could not be written")
}

/// The bytes of inline content.
pub(crate) fn decode_inline(inline: &Inline) -> Result<Vec<u8>, Failure> {
    let wrong = |what: &str| Failure::Permanent(format!("the inline content is no {what}"));
    match inline.encoding {
        InlineEncoding::Utf8 => Ok(inline.value.clone().into_bytes()),
        InlineEncoding::Base64 => STANDARD
            .decode(inline.value.trim())
            .map_err(|_| wrong("base64")),
        InlineEncoding::Iso8859_1 => inline
            .value
            .chars()
            .map(|c| u8::try_from(u32::from(c)).map_err(|_| wrong("iso-8859-1")))
            .collect(),
    }
}
