//! A TCP proxy that cuts connections: the network as it is on a bad day.
//!
//! Everything is passed on until a limit of bytes towards the server is used up, or until it is told
//! to cut; then the connections break in both directions at once, in the middle of whatever was being
//! said. New connections are passed on as if nothing had happened, unless it is closed.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// A proxy in front of a server; gone when dropped.
#[derive(Debug)]
pub struct Cutter {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    /// Bytes that may still go to the server.
    left: AtomicU64,
    open: AtomicBool,
    over: AtomicBool,
    cuts: AtomicU64,
    connections: Mutex<Vec<TcpStream>>,
}

impl Cutter {
    /// A proxy to a port on 127.0.0.1 that cuts nothing yet.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            target: SocketAddr::from(([127, 0, 0, 1], port)),
            left: AtomicU64::new(u64::MAX),
            open: AtomicBool::new(true),
            over: AtomicBool::new(false),
            cuts: AtomicU64::new(0),
            connections: Mutex::default(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if accepting.over.load(Ordering::Acquire) {
                    return;
                }
                accepting.take(client);
            }
        });
        Self { address, shared }
    }

    /// Where to connect to.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Cuts everything once this many more bytes went to the server; those that come after do not
    /// arrive.
    pub fn cut_after(&self, bytes: u64) {
        self.shared.left.store(bytes, Ordering::Release);
    }

    /// Cuts everything now.
    pub fn cut(&self) {
        self.shared.cut();
    }

    /// Cuts everything and lets nobody through any more.
    pub fn close(&self) {
        self.shared.open.store(false, Ordering::Release);
        self.shared.cut();
    }

    /// Lets new connections through again.
    pub fn open(&self) {
        self.shared.open.store(true, Ordering::Release);
    }

    /// How often something was cut.
    pub fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::Acquire)
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        self.shared.cut();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn take(self: &Arc<Self>, client: TcpStream) {
        if !self.open.load(Ordering::Acquire) {
            return;
        }
        let Ok(server) = TcpStream::connect(self.target) else {
            return;
        };
        let _ = client.set_nodelay(true);
        let _ = server.set_nodelay(true);
        let (Ok(from), Ok(to)) = (client.try_clone(), server.try_clone()) else {
            return;
        };
        let mut connections = self.lock();
        connections.extend(
            [client.try_clone(), server.try_clone()]
                .into_iter()
                .flatten(),
        );
        drop(connections);
        let up = Arc::clone(self);
        thread::spawn(move || up.carry(from, to, true));
        let down = Arc::clone(self);
        thread::spawn(move || down.carry(server, client, false));
    }

    fn carry(&self, mut from: TcpStream, mut to: TcpStream, counted: bool) {
        let mut buffer = [0; 4096];
        while let Ok(count) = from.read(&mut buffer) {
            if count == 0 {
                break;
            }
            let mut allowed = count;
            if counted {
                let wanted = u64::try_from(count).unwrap_or(u64::MAX);
                let left = self
                    .left
                    .fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| {
                        Some(if left == u64::MAX {
                            left
                        } else {
                            left.saturating_sub(wanted)
                        })
                    })
                    .unwrap_or(u64::MAX);
                allowed = count.min(usize::try_from(left).unwrap_or(count));
            }
            if to.write_all(&buffer[..allowed]).is_err() {
                break;
            }
            if allowed < count {
                self.left.store(u64::MAX, Ordering::Release);
                self.cut();
                return;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }

    fn cut(&self) {
        let mut connections = self.lock();
        if !connections.is_empty() {
            self.cuts.fetch_add(1, Ordering::AcqRel);
        }
        for connection in connections.drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
