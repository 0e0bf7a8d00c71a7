//! Moving content between trees of files: the built-in transfers and the polls of listings.
//!
//! A flow has one [`Carrier`]. It makes the native callbacks of its lanes: [`Download`] fetches what
//! messages announce, [`Upload`] delivers local content elsewhere, [`Poll`] lists an origin and
//! announces what is there. Beneath them are protocols ([`Protocol`], [`Remote`]), a module each:
//! [`mod@file`], [`ftp`], [`http`], [`sftp`], [`s3`] and [`azure`]; others come
//! beside them and are added with [`Carrier::with`].
//!
//! What this crate deliberately does not do: it reads no configuration and no environment
//! ([`Settings`] and [`Access`] are passed in); it decides nothing about durable retry, names no local
//! file and gives none its final name (that is the runtime's, behind `Content`); it keeps nothing on
//! disk.
//!
//! # Invariants
//! - Names from servers and from messages are [checked](RemotePath) before they are used.
//! - Credentials go to the site they are for, and nowhere a server points to.
//! - Content that arrived short, as far as anybody says how long it is, is never finished.

pub mod azure;
mod carrier;
mod download;
mod error;
pub mod file;
pub mod ftp;
pub mod http;
mod object;
mod path;
mod poll;
mod remote;
pub mod s3;
mod settings;
pub mod sftp;
mod sink;
mod site;
mod throttle;
mod tls;
mod upload;

pub use carrier::{Carrier, Connection};
pub use download::Download;
pub use error::{Error, Kind};
pub use path::{RemotePath, Verbatim, check_name};
pub use poll::{Poll, PollOptions};
pub use remote::{Abilities, About, Chunks, Entry, EntryKind, Opened, Protocol, Remote, Resume};
pub use settings::{Settings, Ssh, Tls};
pub use site::{Access, Anonymous, Site};
pub use throttle::Throttle;
pub use tls::client_config;
pub use upload::Upload;
