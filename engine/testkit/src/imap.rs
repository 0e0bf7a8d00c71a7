//! A small IMAP4rev1 server on loopback, for `flow demo` and for tests without a real server.
//!
//! One account, mail in memory, plain TCP on 127.0.0.1. It serves what mail clients of this project
//! use (LOGIN, AUTHENTICATE PLAIN, SELECT, UID SEARCH/FETCH/STORE/COPY/MOVE/EXPUNGE, IDLE, APPEND)
//! and refuses the rest by name; there is no TLS, no SORT, no BODYSTRUCTURE. It is no substitute
//! for a real server in tests of the mail plugin.
//!
//! # Invariants
//! - A UID is never used twice in a folder, and a mail's bytes never change.
//! - The server and all its sessions end when [`Server`] is dropped.

mod command;
mod fetch;
mod search;
mod session;
mod store;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

pub use store::Mail;
use store::Store;

/// The running server.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    store: Arc<Store>,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Starts a server with an empty INBOX on a port the system picks.
    ///
    /// # Errors
    /// The system has no port to give.
    pub async fn start(user: &str, password: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let store = Arc::new(Store::new(user, password));
        let shared = Arc::clone(&store);
        let accepting = tokio::spawn(async move {
            // Dropped with this task, and all sessions with it.
            let mut sessions = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        // Out of file descriptors or reset before accept: the next may work.
                        let Ok((stream, _)) = accepted else { continue };
                        // A client that went away is no news.
                        let store = Arc::clone(&shared);
                        sessions.spawn(async move { drop(session::run(stream, store).await) });
                    }
                    Some(_) = sessions.join_next() => {}
                }
            }
        });
        Ok(Self {
            address,
            store,
            accepting,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Puts a mail into a folder, making the folder if needed, and tells idle clients.
    /// Returns the mail's UID.
    pub fn deliver(&self, folder: &str, raw: Vec<u8>) -> u32 {
        self.store.append(folder, raw, &[], None)
    }

    /// The mails of a folder, oldest first.
    pub fn mails(&self, folder: &str) -> Vec<Mail> {
        self.store.mails(folder)
    }

    /// The names of all folders.
    pub fn folders(&self) -> Vec<String> {
        self.store.folders()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

#[cfg(test)]
mod tests;
