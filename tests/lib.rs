//! What the whole-binary tests share: a mailbox with a flow over it, the process in the
//! background, and looking at the results.
//!
//! Nothing here knows how the engine works inside, except the names of tables in the embedded
//! broker's file, which [`queue`] reads to count what was posted.

pub mod background;
pub mod queue;
mod scene;
pub mod tree;

pub use scene::{Access, MailFlow, Scene};
