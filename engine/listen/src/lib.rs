//! Where messages come into a flow from outside the loop: HTTP requests, and lines of a helper's
//! protocol.
//!
//! This crate owns listening sockets, limits and the end of connections. What a request or a line
//! means is the plugin's, which it asks through [`Front`](flow_runtime::Front); it stores nothing and
//! knows no configuration.
//!
//! # Invariants
//! - A success is answered after the plugin said so, which is after its messages are durable.
//! - Who sends too much, too slowly or too often is told so, or cut off, and never waited for.
//! - An entrance ends by taking no more, then answering what it has in hand.

mod door;
mod http;
mod lines;
mod peers;

pub use door::{Doors, Place, Tls};
pub use http::Requests;
pub use lines::{Sockets, Stdio};
pub use peers::Peers;
