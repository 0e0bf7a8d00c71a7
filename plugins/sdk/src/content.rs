//! The bytes messages announce, as `Read` and `Write`.
//!
//! Chunks cross the boundary in pieces of at most 64 KiB; small writes are collected up to that size.

use std::io::{self, BufRead, Read, Write};

use crate::{Result, sys};

/// The most bytes that cross the boundary in one call.
pub(crate) const CHUNK: usize = 64 * 1024;

/// From this size on a piece crosses by itself: collecting it would cost more than the call.
const DIRECT: usize = 16 * 1024;

/// Opens the content of a message of this call. Only in `after_work` and `send`.
///
/// # Errors
/// The content is not here, or can't be read.
pub fn open(id: u64) -> Result<ContentReader> {
    Ok(ContentReader {
        raw: sys::open(id)?,
        chunk: Vec::new(),
        at: 0,
    })
}

/// Starts the content of a message of this call. Only in `download`.
///
/// # Errors
/// The place it goes to can't be written.
pub fn create(id: u64) -> Result<ContentWriter> {
    Ok(ContentWriter {
        raw: sys::create(id)?,
        pending: Vec::new(),
    })
}

/// Starts content derived from a message of this call; `None` where the flow does not want it.
/// Only in `after_work`.
///
/// # Errors
/// The name is not usable, or the place can't be written.
pub fn derive(
    id: u64,
    rel_path: &str,
    content_type: Option<&str>,
) -> Result<Option<ContentWriter>> {
    Ok(
        sys::derive(id, rel_path, content_type)?.map(|raw| ContentWriter {
            raw,
            pending: Vec::new(),
        }),
    )
}

/// Content being read.
#[derive(Debug)]
pub struct ContentReader {
    raw: sys::Reader,
    chunk: Vec<u8>,
    at: usize,
}

impl ContentReader {
    #[cfg(target_family = "wasm")]
    pub(crate) fn into_raw(self) -> sys::Reader {
        self.raw
    }

    /// Length in bytes.
    pub fn size(&self) -> u64 {
        self.raw.size()
    }

    /// The next bytes without a copy, at most 64 KiB; empty at the end.
    ///
    /// # Errors
    /// The content can't be read.
    pub fn read_chunk(&mut self) -> Result<Vec<u8>> {
        if self.at < self.chunk.len() {
            let rest = self.chunk.split_off(self.at);
            self.chunk.clear();
            self.at = 0;
            return Ok(rest);
        }
        self.raw.read(CHUNK as u32)
    }
}

impl BufRead for ContentReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.chunk.len() {
            self.chunk = self
                .raw
                .read(CHUNK as u32)
                .map_err(crate::Failure::into_io)?;
            self.at = 0;
        }
        Ok(&self.chunk[self.at..])
    }

    fn consume(&mut self, amount: usize) {
        self.at = (self.at + amount).min(self.chunk.len());
    }
}

impl Read for ContentReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(buffer.len());
        buffer[..length].copy_from_slice(&available[..length]);
        self.consume(length);
        Ok(length)
    }
}

/// Content being written. Nobody sees it before [`ContentWriter::finish`]; dropped, it is gone.
#[derive(Debug)]
pub struct ContentWriter {
    raw: sys::Writer,
    pending: Vec<u8>,
}

impl ContentWriter {
    /// Appends.
    ///
    /// # Errors
    /// The disk is full, or the flow's limit on output is reached.
    pub fn append(&mut self, data: &[u8]) -> Result<()> {
        if data.len() < DIRECT {
            if self.pending.len() + data.len() > CHUNK {
                self.push_pending()?;
            }
            self.pending.extend_from_slice(data);
            return Ok(());
        }
        self.push_pending()?;
        data.chunks(CHUNK)
            .try_for_each(|chunk| self.raw.write(chunk))
    }

    /// Ends the content, and returns the handle for [`crate::NewMessage::derived`]. For a download
    /// the host ties the content to the message by itself.
    ///
    /// # Errors
    /// As [`ContentWriter::append`].
    pub fn finish(mut self) -> Result<u64> {
        self.push_pending()?;
        self.raw.finish()
    }

    fn push_pending(&mut self) -> Result<()> {
        if !self.pending.is_empty() {
            self.raw.write(&self.pending)?;
            self.pending.clear();
        }
        Ok(())
    }
}

impl Write for ContentWriter {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.append(data).map_err(crate::Failure::into_io)?;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.push_pending().map_err(crate::Failure::into_io)
    }
}
