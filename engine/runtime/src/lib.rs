//! The flow loop and what it stands on.
//!
//! A [`Worker`] runs one [`Flow`](flow_config::Flow): it gathers messages, filters them, works on
//! them, posts what survives and settles with the origins, in that order and for every kind of flow.
//! It knows the world through [`ports`] only; which broker, which plugins and which clock are behind
//! them is somebody else's business.
//!
//! # Invariants
//! - Ack last. An origin is told only what is durable: posted and confirmed, rejected, in retry or
//!   in the dead letters.
//! - Every message in hand is in exactly one place; `delivery` makes it hard to drop one.
//! - Dropping a worker at any point loses nothing and shows no half-written content. What is redone
//!   carries the same keys, so a broker that can drops the second copy.
//! - Transactions are per batch, never per message; a flow that only forwards makes none.

mod clock;
mod commit;
mod content;
mod crew;
mod debug;
mod delivery;
mod drain;
mod edit;
mod ended;
mod entrance;
mod error;
mod failed;
mod fileop;
mod filter;
mod finish;
mod front;
mod gather;
mod idle;
mod inbox;
mod inline;
mod job;
mod lanes;
mod nodupe;
mod pace;
mod pass;
mod places;
pub mod ports;
mod post;
mod poster;
mod processors;
pub mod retry;
mod send;
mod settle;
mod shared;
mod stamp;
mod state;
mod steps;
mod store;
mod team;
mod tell;
mod timetable;
mod trouble;
pub mod usage;
mod verdict;
mod waiting;
mod work;
mod worker;

#[cfg(test)]
#[path = "../tests/support/flow.rs"]
mod testing;

pub use clock::SystemClock;
pub use drain::Drain;
pub use entrance::{Entrance, Leave};
pub use error::{Error, StoreError};
pub use front::{Front, Seat};
pub use processors::Processors;
pub use store::{Entry, Lock, Shelf, Store};
pub use worker::{Links, Options, Ports, Summary, Worker};
