//! Keeps a connection from writing while frames are queued for it.
//!
//! The client library has a thread for each connection. Whoever queues a frame wakes it, and it writes what
//! it finds: awake, it takes the frames of a batch one by one as they come, with a system call for each,
//! and falls asleep and is woken again between them. That costs more than the messages themselves. So
//! whoever queues a batch shuts a gate first, and the thread, which comes to it before it writes, waits
//! there until all frames of the batch are queued, and writes them at once.
//!
//! The library knows sockets only through the reactor of a runtime. What [`runtime`] makes is
//! tokio's, but for the gate in front of what it connects.
//!
//! # Invariants
//! - A gate is shut for as long as frames are queued, microseconds to few milliseconds, and never while
//!   something is waited for: its guard is not `Send`.
//! - The thread holds nothing that queueing frames needs while it waits at the gate.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_rs::traits::Reactor;
use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use futures_core::Stream;
use futures_io::{AsyncRead, AsyncWrite};

/// The gate of a connection, and of those that follow it.
#[derive(Debug, Clone, Default)]
pub(super) struct Gate(Arc<Mutex<()>>);

impl Gate {
    /// Shuts it until the guard is dropped.
    pub(super) fn shut(&self) -> MutexGuard<'_, ()> {
        // Nothing is behind it that a panic could leave half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it is open.
    fn pass(&self) {
        drop(self.shut());
    }
}

/// What the library runs on.
pub(super) type Parts = RuntimeParts<Tokio, Gated<Tokio>>;

/// Tokio's runtime as it is here, with `gate` before every connection it makes.
pub(super) fn runtime(gate: &Gate) -> Runtime<Parts> {
    let tokio = Tokio::current();
    let gated = Gated {
        inner: tokio.clone(),
        gate: gate.clone(),
    };
    Runtime::new(RuntimeParts::new(tokio, gated))
}

/// Something with a gate before it: a reactor, or a connection.
#[derive(Debug, Clone)]
pub(super) struct Gated<T> {
    inner: T,
    gate: Gate,
}

impl<T> Gated<T> {
    /// What is behind the gate.
    pub(super) fn inner(&self) -> &T {
        &self.inner
    }
}

impl Reactor for Gated<Tokio> {
    type TcpStream = Gated<<Tokio as Reactor>::TcpStream>;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: Read + Write + AsFd + AsRawFd + Send + 'static>(
        &self,
        socket: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        self.inner.register(socket)
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.inner.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.inner.interval(duration)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        let (connecting, gate) = (self.inner.tcp_connect_addr(address), self.gate.clone());
        async move {
            let inner = connecting.await?;
            Ok(Gated { inner, gate })
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Gated<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_read_vectored(context, buffers)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Gated<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, data)
    }

    /// The library flushes before it takes frames to write, so this is where it waits.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.gate.pass();
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Waker;

    use super::*;

    #[test]
    fn who_writes_waits_while_frames_are_queued() {
        let gate = Gate::default();
        let mut gated = Gated {
            inner: Vec::<u8>::new(),
            gate: gate.clone(),
        };
        let queued = AtomicBool::new(false);
        let shut = gate.shut();
        std::thread::scope(|scope| {
            let writing = scope.spawn(|| {
                let mut context = Context::from_waker(Waker::noop());
                let flushed = Pin::new(&mut gated).poll_flush(&mut context);
                let seen = queued.load(Ordering::SeqCst);
                let written = Pin::new(&mut gated).poll_write(&mut context, b"frames");
                (flushed.is_ready(), seen, written.map(Result::ok))
            });
            queued.store(true, Ordering::SeqCst);
            drop(shut);
            let ended = writing.join().expect("the thread does not panic");
            assert_eq!(ended, (true, true, Poll::Ready(Some(6))));
        });
        assert_eq!(gated.inner(), b"frames");
    }
}
