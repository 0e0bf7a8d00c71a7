//! A connection the host dialled, as `Read` and `Write`, blocking or async.
//!
//! Reads take what is there, up to 64 KiB, and hand it out in the pieces asked for. Writes are
//! collected until `flush`, or until something is read. Waiting suspends the whole instance, so the
//! async forms are always ready; drive them with [`crate::block_on`].

use std::io::{self, BufRead, Read, Write};
use std::time::Duration;

use crate::content::CHUNK;
use crate::{Failure, Result, sys};

pub use crate::bindings::imports::flow::plugin::connection::Security;

/// A connection, closed when dropped.
#[derive(Debug)]
pub struct Stream {
    raw: sys::Connection,
    chunk: Vec<u8>,
    at: usize,
    out: Vec<u8>,
}

impl Stream {
    /// Connects to `host:port`, with TLS from the start if `security` says so.
    ///
    /// # Errors
    /// `temporary` if nobody answers; `config` if the flow does not allow the address, or the
    /// certificate is not to be trusted.
    pub fn connect(host: &str, port: u16, security: Security) -> Result<Self> {
        Ok(Self {
            raw: sys::connect(host, port, security)?,
            chunk: Vec::new(),
            at: 0,
            out: Vec::new(),
        })
    }

    /// Goes on in TLS, after the protocol's own STARTTLS.
    ///
    /// # Errors
    /// As [`Stream::connect`]; `temporary` if the peer sent something in the clear that should
    /// have come after the handshake.
    pub fn start_tls(&mut self) -> Result<()> {
        self.push()?;
        if self.at < self.chunk.len() {
            return Err(Failure::temporary(
                "the peer sent data in the clear after it agreed to TLS, so someone may be in between; nothing was trusted",
            ));
        }
        self.raw.start_tls()
    }

    /// How long one read or write may take from now on; none: the flow's `timeout`, as at first.
    pub fn set_timeout(&self, timeout: Option<Duration>) {
        // To the host zero means none; a wait that is over at once is not for a network.
        let ms = timeout.map_or(0, |timeout| timeout.as_millis().max(1));
        self.raw.set_timeout(u64::try_from(ms).unwrap_or(u64::MAX));
    }

    /// What the peer has sent, without a copy, at most 64 KiB; empty when it closed the connection.
    ///
    /// # Errors
    /// `temporary` on a timeout or a reset, `interrupted` during `wake.wait`.
    pub fn read_chunk(&mut self) -> Result<Vec<u8>> {
        self.push()?;
        if self.at < self.chunk.len() {
            let rest = self.chunk.split_off(self.at);
            self.chunk.clear();
            self.at = 0;
            return Ok(rest);
        }
        self.raw.read(CHUNK as u32)
    }

    /// Writes everything at once.
    ///
    /// # Errors
    /// `temporary` on a timeout or a reset.
    pub fn send(&mut self, data: &[u8]) -> Result<()> {
        self.out.extend_from_slice(data);
        self.push()
    }

    fn push(&mut self) -> Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let written = self.raw.write(&self.out);
        // What could not be written is not tried again: a peer that stopped listening may still
        // have said why, and that can be read now.
        self.out.clear();
        written
    }
}

impl BufRead for Stream {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.chunk.len() {
            self.push().map_err(Failure::into_io)?;
            self.chunk = self.raw.read(CHUNK as u32).map_err(Failure::into_io)?;
            self.at = 0;
        }
        Ok(&self.chunk[self.at..])
    }

    fn consume(&mut self, amount: usize) {
        self.at = (self.at + amount).min(self.chunk.len());
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(buffer.len());
        buffer[..length].copy_from_slice(&available[..length]);
        self.consume(length);
        Ok(length)
    }
}

impl Write for Stream {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.out.extend_from_slice(data);
        if self.out.len() >= CHUNK {
            self.push().map_err(Failure::into_io)?;
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.push().map_err(Failure::into_io)
    }
}

#[cfg(feature = "futures")]
mod futures {
    use std::io::{self, Read, Write};
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use super::Stream;

    impl futures_io::AsyncRead for Stream {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(self.read(buffer))
        }
    }

    impl futures_io::AsyncWrite for Stream {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            data: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(self.write(data))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(self.flush())
        }

        fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(self.flush())
        }
    }
}

#[cfg(feature = "tokio")]
mod tokio {
    use std::io::{self, BufRead, Write};
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    use super::Stream;

    impl AsyncRead for Stream {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let available = match self.fill_buf() {
                Ok(available) => available,
                Err(error) => return Poll::Ready(Err(error)),
            };
            let length = available.len().min(buffer.remaining());
            buffer.put_slice(&available[..length]);
            self.consume(length);
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Stream {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            data: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(self.write(data))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(self.flush())
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(self.flush())
        }
    }
}
