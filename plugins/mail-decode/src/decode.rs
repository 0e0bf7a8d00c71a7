//! The decoder's face: bytes of one mail in, parts out.

use std::io::{self, Read};

use crate::job::{Headers, Incomplete, Job, Part};
use crate::options::Options;
use crate::sink::Sink;
use crate::splitter::{Place, Splitter};

/// Largest piece taken at once, so that no stage needs a buffer much larger.
const PIECE: usize = 64 * 1024;

/// Why decoding stopped. The mail's own faults never stop it.
#[derive(Debug)]
pub enum Error<E> {
    /// The mail could not be read.
    Read(io::Error),
    /// A part could not be stored.
    Sink(E),
}

/// What became of a mail.
#[derive(Debug)]
pub struct Outcome<C> {
    /// The parts, in the order in which they start in the mail.
    pub parts: Vec<Part<C>>,
    /// What every part of the mail carries about it.
    pub mail: Headers,
    /// How many parts there are, those nobody wants included.
    pub found: usize,
    /// The mail has no bytes at all.
    pub empty: bool,
    /// The mail ended before the multipart it is.
    pub truncated: bool,
    /// Something of the mail is in none of the parts.
    pub incomplete: Option<Incomplete>,
}

impl<C> Outcome<C> {
    /// All headers of one part: its own, the mail's, and those of the nested mail around it.
    pub fn headers<'a>(
        &'a self,
        part: &'a Part<C>,
    ) -> impl Iterator<Item = (&'static str, &'a str)> + 'a {
        let truncated = self.truncated.then_some(("truncated", "true"));
        let nested = part.nested.iter().flat_map(|headers| headers.iter());
        self.mail
            .iter()
            .chain(&part.headers)
            .chain(nested)
            .map(|(name, value)| (*name, value.as_str()))
            .chain(truncated)
    }
}

/// Decodes one mail that is fed to it.
pub struct Decoder<'a, S: Sink> {
    job: Job<'a, S>,
    root: Splitter<S>,
    empty: bool,
}

impl<'a, S: Sink> Decoder<'a, S> {
    /// `stem` is the path below which the parts are named, without a slash at its end.
    pub fn new(stem: &'a str, options: &'a Options, sink: &'a mut S) -> Self {
        Self {
            job: Job::new(stem, options, sink),
            root: Splitter::new(Place {
                dir: "".into(),
                prefix: String::new(),
                depth: 0,
            }),
            empty: true,
        }
    }

    /// Takes the next bytes. The outcome does not depend on how the mail is cut.
    ///
    /// # Errors
    /// Those of the sink; the decoder is of no use then.
    pub fn feed(&mut self, data: &[u8]) -> Result<(), S::Error> {
        self.empty &= data.is_empty();
        for piece in data.chunks(PIECE) {
            self.root.feed(piece, &mut self.job)?;
        }
        Ok(())
    }

    /// Ends the mail.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn finish(mut self) -> Result<Outcome<S::Content>, S::Error> {
        let truncated = if self.empty {
            false
        } else {
            self.root.finish(&mut self.job)?
        };
        Ok(Outcome {
            parts: self.job.slots.into_iter().flatten().collect(),
            mail: self.job.mail,
            found: self.job.found,
            empty: self.empty,
            truncated,
            incomplete: self.job.incomplete,
        })
    }
}

/// Decodes one mail from a reader.
///
/// # Errors
/// When the mail cannot be read or a part cannot be stored.
pub fn decode<S: Sink>(
    mut mail: impl Read,
    stem: &str,
    options: &Options,
    sink: &mut S,
) -> Result<Outcome<S::Content>, Error<S::Error>> {
    let mut decoder = Decoder::new(stem, options, sink);
    let mut buffer = vec![0; PIECE];
    loop {
        match mail.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => decoder.feed(&buffer[..read]).map_err(Error::Sink)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::Read(error)),
        }
    }
    decoder.finish().map_err(Error::Sink)
}
