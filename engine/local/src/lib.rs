//! What is announced from the local file system: [`Watch`] and [`Post`].
//!
//! Both are built-in [`Callback`](flow_runtime::ports::Callback)s that gather. `Post` announces the
//! paths it is given, and what is below them, once. `Watch` announces what happens below its paths
//! for as long as it runs, told by the kernel (inotify) or by looking again and again
//! (`force_polling`).
//!
//! This crate copies, moves and changes nothing; the one thing it may write is a cache of digests in
//! extended attributes, where asked to. It knows no broker and no configuration: the caller fills in
//! plain parameters.
//!
//! # Invariants
//! - Nothing here holds a whole tree in memory: walks are streams, what waits is bounded.
//! - `relPath` is text. A name that is not UTF-8 is not announced, and a warning says so once:
//!   percent-encoding it would name another file to every receiver that takes `relPath` literally.
//! - A file that changes while it is hashed is not announced with a digest of something else.
//!
//! Words: a *work* is one thing to be announced (a path and what happened to it); *unsure* is a file
//! that was found by looking rather than told by its writer, so that it may still be written.

// The support of the tests names this crate as its users do.
#[cfg(test)]
extern crate self as flow_local;

mod announce;
mod identity;
mod options;
mod post;
mod walk;
mod watch;

pub use options::{Announcing, Digest, FileEvents, Naming, NamingError, Xattr};
pub use post::{Post, PostOptions};
pub use watch::{OnStart, Watch, WatchOptions};
