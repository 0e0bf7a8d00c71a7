//! A connection read by lines and counted bytes, for both protocols.
//!
//! Bytes go from the host's chunk straight to whoever wants them. It also is the transport of
//! async-imap: read through that, it hands out one whole line at a time. Not more, so that the
//! library's own buffer is empty whenever a command is complete, and this module can read on; and not
//! less, because its parser guesses how many bytes are missing from a line, and waits for ever where
//! the guess is more than will come.

use std::io::{BufRead as _, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use flow_plugin::{Failure, Result, Security, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::server::Server;

/// No line is longer; a SEARCH answer of two million UIDs fits.
const MOST_LINE: usize = 16 * 1024 * 1024;

/// The connection.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: Stream,
    /// The line async-imap is reading, and how much of it was handed out.
    line: Vec<u8>,
    handed: usize,
    /// Nothing more can be done with it.
    dead: bool,
}

impl Wire {
    pub(crate) fn connect(server: &Server) -> Result<Self> {
        let security = if server.tls {
            Security::Tls
        } else {
            Security::Plain
        };
        let stream = Stream::connect(&server.host, server.port, security)?;
        Ok(Self {
            stream,
            line: Vec::new(),
            handed: 0,
            dead: false,
        })
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead
    }

    /// Gives the connection another chance after what may only have been a timeout.
    pub(crate) fn revive(&mut self) {
        self.dead = false;
    }

    /// How long the server may be silent; none: the flow's `timeout`.
    pub(crate) fn set_timeout(&self, timeout: Option<Duration>) {
        self.stream.set_timeout(timeout);
    }

    pub(crate) fn start_tls(&mut self) -> Result<()> {
        self.stream.start_tls()
    }

    /// Writes and flushes.
    pub(crate) fn send(&mut self, data: &[u8]) -> Result<()> {
        let sent = self
            .stream
            .write_all(data)
            .and_then(|()| self.stream.flush());
        self.note(sent)
    }

    /// The next line, without its end, in place of what `line` held.
    pub(crate) fn read_line(&mut self, line: &mut Vec<u8>) -> Result<()> {
        line.clear();
        loop {
            let chunk = self.fill()?;
            let end = memchr::memchr(b'\n', chunk);
            let taken = end.map_or(chunk.len(), |at| at + 1);
            line.extend_from_slice(&chunk[..taken]);
            self.stream.consume(taken);
            if end.is_some() {
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(());
            }
            if line.len() > MOST_LINE {
                self.dead = true;
                return Err(Failure::temporary(
                    "the server sent a line of more than 16 MiB",
                ));
            }
        }
    }

    /// The next `length` bytes, in pieces. The failure of `take` ends it and kills the connection:
    /// it stands in the middle of a literal.
    pub(crate) fn read_bytes(
        &mut self,
        mut length: u64,
        mut take: impl FnMut(&[u8]),
    ) -> Result<()> {
        while length > 0 {
            let chunk = self.fill()?;
            let taken = chunk
                .len()
                .min(usize::try_from(length).unwrap_or(usize::MAX));
            take(&chunk[..taken]);
            self.stream.consume(taken);
            length -= taken as u64;
        }
        Ok(())
    }

    /// What is there, at least one byte; followed by [`Wire::consume`].
    pub(crate) fn fill(&mut self) -> Result<&[u8]> {
        match self.stream.fill_buf() {
            Ok([]) => {
                self.dead = true;
                Err(closed())
            }
            // Asked again because the borrow of the arm above would last for the whole function.
            Ok(_) => Ok(self.stream.fill_buf().map_err(Failure::from)?),
            Err(error) => self.note(Err(error)).map(|()| &[][..]),
        }
    }

    pub(crate) fn consume(&mut self, amount: usize) {
        self.stream.consume(amount);
    }

    /// The last line async-imap read, fit to show.
    pub(crate) fn last_line(&self) -> String {
        show(&self.line)
    }

    /// Reads a line, end included; empty when the server closed the connection.
    fn whole_line(&mut self) -> Result<()> {
        loop {
            let chunk = self.stream.fill_buf().map_err(Failure::from)?;
            if chunk.is_empty() {
                self.dead = true;
                return Ok(());
            }
            let end = memchr::memchr(b'\n', chunk);
            let taken = end.map_or(chunk.len(), |at| at + 1);
            self.line.extend_from_slice(&chunk[..taken]);
            self.stream.consume(taken);
            if end.is_some() {
                return Ok(());
            }
            if self.line.len() > MOST_LINE {
                return Err(Failure::temporary(
                    "the server sent a line of more than 16 MiB",
                ));
            }
        }
    }

    fn note(&mut self, result: std::io::Result<()>) -> Result<()> {
        result.map_err(|error| {
            let failure = Failure::from(error);
            // An interruption leaves the connection as it was.
            self.dead |= failure != Failure::Interrupted;
            failure
        })
    }
}

pub(crate) fn closed() -> Failure {
    Failure::temporary("the server closed the connection")
}

/// A server's text, fit to show: one line, printable, not too long.
pub(crate) fn show(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let clean: String = text
        .trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(200)
        .collect();
    clean.trim().to_owned()
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let this = &mut *self;
        if this.handed == this.line.len() {
            this.line.clear();
            this.handed = 0;
            if let Err(failure) = this.whole_line() {
                this.dead = true;
                return Poll::Ready(Err(failure.into_io()));
            }
        }
        let taken = buffer.remaining().min(this.line.len() - this.handed);
        buffer.put_slice(&this.line[this.handed..this.handed + taken]);
        this.handed += taken;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Poll::Ready(self.stream.write(data).inspect_err(|_| self.dead = true))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(self.stream.flush().inspect_err(|_| self.dead = true))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.poll_flush(context)
    }
}
