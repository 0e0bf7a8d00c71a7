//! Where a flow listens.

use std::path::PathBuf;

/// Where messages come in from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// HTTP requests.
    Http(ListenHttp),
    /// Lines, at a Unix socket.
    Socket(PathBuf),
}

/// An address for HTTP requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenHttp {
    /// A host name or an address, without brackets.
    pub host: String,
    /// The port; 0: any that is free.
    pub port: u16,
    /// Without a slash at its end; empty: everything.
    pub path: String,
    /// Certificate and private key, PEM, for HTTPS.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Bytes of the largest body that is taken.
    pub body_max: u64,
}
